import { controlPipelineRun } from '../../pipelines/run-controls';
import { listTransitions } from '../../pipelines/transitions';
import type { Plan } from '../../schemas/plan';
import { listAttempts } from '../../storage/postgres/attempts';
import {
  pipelineRunWorkflowId,
  segmentWorkflowId,
  type ControlRun,
} from '../../workflows/contract';
import { gate, type Gate } from '../support/gate';
import { plan, step } from '../support/plans';
import { until } from '../support/step-lab';
import {
  openWorkflowLab,
  stepFailure,
  tick,
  type StartedRun,
  type WorkflowLab,
} from '../support/workflow-lab';

const projectId = 'default';
const who = { actor: 'ada', reason: '' } as const;
const PAUSE = { ...who, action: 'pause' } as const;
const CONTINUE = { ...who, action: 'continue' } as const;
let lab: WorkflowLab;
let begun: string[] = [];
/** The step that the one slot runs while the others wait for it. */
let first: Gate;
beforeAll(async () => {
  lab = await openWorkflowLab({ slots: 1 });
});
afterAll(() => lab.close());
beforeEach(() => {
  begun = [];
  first = gate();
  lab.bodies = {};
});

function control({ runId: id }: StartedRun, asked: ControlRun): Promise<unknown> {
  const deps = { postgres: lab.database.postgres, starter: lab.starter };
  return controlPipelineRun(deps, { projectId, id }, asked);
}
/** Steps that say that they begin; the one that has the slot first keeps it until `first` is open. */
function many(count: number, from = 0): Plan['steps'] {
  const names = Array.from({ length: count }, (_, i) => `s${from + i}`);
  for (const name of names) {
    lab.bodies[name] = (input, signal) => {
      begun.push(name);
      return begun.length === 1 ? first.body(input, signal) : Promise.resolve({});
    };
  }
  return names.map((name) => step(name));
}
/** True when no step of this workflow is in a queue or on a worker any more. */
async function isAtRest(workflowId: string): Promise<boolean> {
  const { raw } = await lab.env.client.workflow.getHandle(workflowId).describe();
  return (raw.pendingActivities ?? []).length === 0;
}
async function untilAtRest(...workflowIds: string[]): Promise<void> {
  for (const id of workflowIds) await until(() => isAtRest(id));
}
async function attemptsOf({ runId }: StartedRun): Promise<string[]> {
  const attempts = await listAttempts(lab.database.postgres, { projectId, runId });
  return attempts.map(({ stepKey, attempt, status }) => `${stepKey}#${attempt} ${status}`);
}
async function statesOf({ runId }: StartedRun): Promise<Set<string>> {
  const page = { projectId, runId, after: 0, limit: 1_000 };
  return new Set((await listTransitions(lab.database, page)).map(({ state }) => state));
}

describe('steps that wait for a worker when their run is paused', () => {
  it('do not begin before it goes on, and then begin as if nothing had been', async () => {
    const run = await lab.start({ plan: plan(many(40)) });
    await first.begun;
    await control(run, PAUSE);
    first.open();
    await untilAtRest(pipelineRunWorkflowId(run.runId));
    expect(begun).toHaveLength(1);
    expect(await attemptsOf(run)).toEqual([`${begun[0] ?? ''}#1 succeeded`]);
    const statuses = Object.values(await lab.statuses(run.runId));
    expect(statuses.filter((status) => status === 'waiting')).toHaveLength(39);
    await control(run, CONTINUE);
    expect((await run.result()).status).toBe('succeeded');
    expect(begun).toHaveLength(40);
    expect((await attemptsOf(run)).every((attempt) => attempt.endsWith('#1 succeeded'))).toBe(true);
    expect(await statesOf(run)).toEqual(new Set(['ready', 'started', 'succeeded']));
  });

  it('are held in every part of a large run', async () => {
    const nothing = { uses: 'builtin/nothing' } as const;
    const after = many(10).map(({ name }) => name);
    const between = Array.from({ length: 420 }, (_, i) => step(`n${i}`, { ...nothing, after }));
    const large = plan([...many(10), ...between, ...many(10, 10)]);
    const run = await lab.start({ plan: large });
    await first.begun;
    const parts = [0, 1].map((part) => segmentWorkflowId(run.runId, part));
    await control(run, PAUSE);
    first.open();
    await untilAtRest(pipelineRunWorkflowId(run.runId), ...parts);
    expect(begun).toHaveLength(1);
    const statuses = Object.values(await lab.statuses(run.runId));
    expect(statuses.filter((status) => status === 'waiting')).toHaveLength(439);
    await control(run, CONTINUE);
    expect((await run.result()).status).toBe('succeeded');
    expect(begun).toHaveLength(20);
    expect(await statesOf(run)).toEqual(new Set(['ready', 'started', 'succeeded']));
  });

  it('keep what they have used of their retries', async () => {
    first = gate(() => Promise.reject(stepFailure('crash', 'exit code 1')));
    lab.bodies['s0'] = (input, signal) => {
      begun.push(`s0#${input.attempt}`);
      return first.body(input, signal);
    };
    const retry = { max: 1, on: ['crash' as const], delaySeconds: 0.1 };
    const run = await lab.start({ plan: plan([step('s0', { retry })]) });
    await first.begun;
    await control(run, PAUSE);
    first.open();
    await until(async () => (await lab.statuses(run.runId))['s0'] === 'retrying');
    await until(async () => (await heldOf(run)).includes('s0#2'));
    expect(await attemptsOf(run)).toEqual(['s0#1 failed']);
    await control(run, CONTINUE);
    const { status } = await run.result();
    expect({ status, begun }).toEqual({ status: 'failed', begun: ['s0#1', 's0#2'] });
    const page = { projectId, runId: run.runId, after: 0, limit: 100 };
    const ends = (await listTransitions(lab.database, page)).filter(
      ({ state }) => state === 'failed',
    );
    expect(ends).toMatchObject([{ attempt: 2 }]);
    expect(ends[0]?.reason).toContain('no retry left of 1');
  });

  it('can be skipped, and end with the run when it is cancelled', async () => {
    const steps = many(3);
    const names = steps.map(({ name }) => name);
    const run = await lab.start({ plan: plan(steps) });
    await first.begun;
    await control(run, PAUSE);
    first.open();
    await untilAtRest(pipelineRunWorkflowId(run.runId));
    const [ran = '', skipped = '', left = ''] = [
      ...begun,
      ...names.filter((n) => !begun.includes(n)),
    ];
    await control(run, { ...who, action: 'skip', stepKey: skipped });
    await run.cancel();
    expect((await run.result()).status).toBe('cancelled');
    expect(await lab.statuses(run.runId)).toEqual({
      [ran]: 'succeeded',
      [skipped]: 'skipped',
      [left]: 'cancelled',
    });
  });
});

/** The attempts that were refused because the run is paused. */
async function heldOf({ runId }: StartedRun): Promise<string[]> {
  await tick();
  const handle = lab.env.client.workflow.getHandle(pipelineRunWorkflowId(runId));
  const { events = [] } = await handle.fetchHistory();
  const ids = new Map<string, string>();
  const held: string[] = [];
  for (const event of events ?? []) {
    const scheduled = event.activityTaskScheduledEventAttributes;
    if (scheduled) ids.set(String(event.eventId), scheduled.activityId ?? '');
    const failed = event.activityTaskFailedEventAttributes;
    if (failed?.failure?.applicationFailureInfo?.type !== 'RUN_PAUSED') continue;
    held.push(ids.get(String(failed.scheduledEventId)) ?? '');
  }
  return held;
}
