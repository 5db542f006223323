import { expandGraph } from '../../dag/expand';
import { placeSteps, type StepState } from '../../dag/placed-graph';
import { createItemsOf, whyWaiting, type WaitFacts } from '../../pipelines/why-waiting';
import type { PipelineRun, StepStatus } from '../../schemas/pipeline-runs';
import type { ListedAttempt } from '../../storage/postgres/step-list';
import { plan, step } from '../support/plans';

const NOW_MS = Date.parse('2026-01-01T01:00:00.000Z');
const run: PipelineRun = {
  id: 'r',
  planId: 'p',
  pipeline: 'test',
  params: {},
  codeDigest: null,
  git: null,
  trigger: null,
  status: 'running',
  reason: null,
  isPaused: false,
  priority: 3,
  deadline: null,
  createdAt: '2026-01-01T00:00:00.000Z',
  startedAt: '2026-01-01T00:00:00.000Z',
  endedAt: null,
  resumedFrom: null,
};
const given = plan(
  [
    ...['a', 'b', 'c', 'd', 'e'].map((name) => step(name)),
    step('all', { after: ['a', 'b', 'c', 'd', 'e'] }),
    step('maybe', { after: ['a'], if: 'params.yes' }),
    step('each', { foreach: { i: 'params.list' }, parallel: 2 }),
    step('last', { after: ['each'], pool: 'gpu' }),
    step('late', { uses: 'builtin/nothing' }),
    step('due', { after: ['a'], deadlineSeconds: 3_540 }), // 00:59
    step('soon', { after: ['a'], deadlineSeconds: 3_600 }),
  ],
  { list: { type: 'list' }, yes: { type: 'boolean' } },
);
type Facts = Partial<Omit<WaitFacts, 'placed'>>;

function factsWith(statuses: Readonly<Record<string, StepStatus>>, facts: Facts = {}): WaitFacts {
  const steps = Object.entries(statuses).map(([key, status]): StepState => ({
    key,
    status,
    startedAtMs: undefined,
    endedAtMs: status === 'succeeded' ? NOW_MS - 60_000 : undefined,
  }));
  const graph = expandGraph(given, { list: [1, 2, 3, 4], yes: true });
  const placed = placeSteps(graph, steps);
  return {
    run,
    placed,
    itemsOf: createItemsOf(placed),
    paused: undefined,
    presence: new Map(),
    isControlGone: false,
    nowMs: NOW_MS,
    ...facts,
  };
}
function why(
  key: string,
  facts: WaitFacts,
  more: { reason?: string; status?: StepStatus; attempt?: Partial<ListedAttempt> } = {},
): string | null {
  const { reason = null, status = 'waiting', attempt } = more;
  const nothing = {
    outputs: null,
    trackedRunId: null,
    cache: null,
    progress: null,
    startedAt: null,
    endedAt: null,
  };
  const first = {
    attempt: 1,
    node: 'n',
    failureClass: undefined,
    endedAtMs: undefined,
    heardAtMs: undefined,
  };
  return whyWaiting(
    { step: { key, status, reason, ...nothing }, attempt: attempt && { ...first, ...attempt } },
    facts,
  );
}
const SINCE_START = 'waiting for a worker of pool cpu since 2026-01-01T00:00:00.000Z';

describe('a step that waits', () => {
  it('names the first of its needs and how many more', () => {
    expect(why('all', factsWith({}))).toBe('waiting for a, b, c and 2 more to end');
    const some = factsWith({ a: 'succeeded', b: 'skipped' });
    expect(why('all', some)).toBe('waiting for c, d, e to end');
    expect(why('maybe', factsWith({}))).toBe(
      'waiting for a to end; then it is decided whether it runs',
    );
  });

  it('says how far a foreach is', () => {
    const facts = factsWith({ 'each[0]': 'succeeded', 'each[1]': 'running' });
    expect(why('last', facts)).toBe('waiting for each (1 of 4 ended) to end');
  });

  it('says that the foreach is at its limit, but not of those that may begin', () => {
    const facts = factsWith({ 'each[0]': 'running' });
    expect(why('each[1]', facts)).toBe(SINCE_START);
    expect(why('each[2]', facts)).toBe('each runs at most 2 at once: 1 of 2 run');
  });

  it('says who has paused the run', () => {
    const paused = { actor: 'ada', reason: 'lunch', at: new Date(NOW_MS) };
    const facts = factsWith({}, { run: { ...run, isPaused: true }, paused });
    expect(why('a', facts)).toBe('the run is paused by ada since 2026-01-01T01:00:00.000Z: lunch');
    expect(why('all', facts)).toContain('waiting for a, b'); // a pause is not what holds it up
  });

  it('keeps what its row says', () => {
    expect(why('a', factsWith({}), { reason: 'run again by ada' })).toBe(
      `run again by ada; ${SINCE_START}`,
    );
  });

  it('waits for nothing once the run has ended', () => {
    const facts = factsWith({}, { run: { ...run, endedAt: run.createdAt } });
    expect(why('a', facts)).toBeNull();
  });
});

describe('a step without a worker', () => {
  const seen = (lastSeenMs: number | null, runningSteps: number): Facts => {
    const lastSeenAt = lastSeenMs === null ? null : new Date(lastSeenMs).toISOString();
    return { presence: new Map([['cpu', { pool: 'cpu', lastSeenAt, runningSteps }]]) };
  };
  it.each([
    ['one that asks', seen(NOW_MS - 60_000, 0), SINCE_START],
    [
      'one that is busy',
      seen(NOW_MS - 120_000, 4),
      `${SINCE_START}; its workers are busy with 4 steps`,
    ],
    [
      'one that went',
      seen(NOW_MS - 120_000, 0),
      `${SINCE_START}; no worker of this pool has been seen for 2 min`,
    ],
    [
      'none',
      seen(null, 0),
      `${SINCE_START}; no worker of this pool has been seen for at least 5 min`,
    ],
  ])('knows %s', (_, facts, text) => {
    expect(why('a', factsWith({}, facts))).toBe(text);
  });

  it('counts from the end of what it needed', () => {
    const facts = factsWith({ a: 'succeeded' });
    expect(why('maybe', facts)).toBe(
      'waiting for a worker of pool cpu since 2026-01-01T00:59:00.000Z',
    );
  });

  it('says that the control worker is away', () => {
    const facts = factsWith({}, { isControlGone: true });
    expect(why('late', facts)).toBe('waiting for a control worker; none has been seen of late');
    expect(why('late', factsWith({}))).toBe('waiting for the control worker');
  });
});

describe('a step that was begun', () => {
  const retrying = { status: 'retrying', reason: 'crash: exit 1; attempt 2 in 10 s' } as const;
  it('says what is left of a delay, then waits for a worker', () => {
    const before = { ...retrying, attempt: { endedAtMs: NOW_MS - 3_000 } };
    expect(why('a', factsWith({}), before)).toBe('attempt 2 in 7 s, after crash: exit 1');
    const due = { ...retrying, attempt: { endedAtMs: NOW_MS - 12_000 } };
    expect(why('a', factsWith({}), due)).toBe(
      'crash: exit 1; attempt 2 in 10 s; waiting for a worker of pool cpu since 2026-01-01T00:59:58.000Z',
    );
  });

  it('is held by a pause once its delay is over', () => {
    const facts = factsWith({}, { run: { ...run, isPaused: true } });
    const due = { ...retrying, attempt: { endedAtMs: NOW_MS - 12_000 } };
    expect(why('a', facts, due)).toBe('crash: exit 1; attempt 2 in 10 s; the run is paused');
  });

  it('is late after its deadline, and not at it', () => {
    const late = 'late by 1 min: it was due at 2026-01-01T00:59:00.000Z';
    expect(why('due', factsWith({}))).toBe(`waiting for a to end; ${late}`);
    const running = { status: 'running', reason: 'on node n' } as const;
    expect(why('due', factsWith({ a: 'succeeded' }), running)).toBe(`on node n; ${late}`);
    expect(why('soon', factsWith({}))).toBe('waiting for a to end');
    const ended = factsWith({}, { run: { ...run, endedAt: run.createdAt } });
    expect(why('due', ended, running)).toBe('on node n');
  });

  it('is silent after five minutes', () => {
    const running = { status: 'running', reason: 'on node n' } as const;
    const heard = { ...running, attempt: { heardAtMs: NOW_MS - 299_000 } };
    expect(why('a', factsWith({}), heard)).toBe('on node n');
    const silent = { ...running, attempt: { heardAtMs: NOW_MS - 300_000 } };
    expect(why('a', factsWith({}), silent)).toBe(
      'on node n; alive, but no output, progress or checkpoint for 5 min',
    );
  });
});
