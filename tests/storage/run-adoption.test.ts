import type { HttpReply } from '../support/http';
import { startTrackingApi, type TrackingApi } from '../support/tracking-api';

let api: TrackingApi;
let experiment: string;
let pipelineRuns = 0;
let pipelineRun: string;
beforeAll(async () => {
  api = await startTrackingApi();
});
afterAll(() => api.close());
beforeEach(async () => {
  experiment = await api.newExperiment();
  pipelineRuns += 1;
  pipelineRun = `pipeline-run-${pipelineRuns}`;
});

interface WireRun {
  readonly info: { readonly run_id: string; readonly status: string; readonly end_time?: number };
  readonly data: {
    readonly params?: readonly unknown[];
    readonly tags: readonly { readonly key: string; readonly value: string }[];
  };
}
const begin = (attempt: number, stepKey = 'train'): Promise<string> =>
  api.beginAttempt({ runId: pipelineRun, stepKey, attempt });
/** The run that a client's create gets, by its token. */
const create = async (token: string, body: object = {}): Promise<WireRun> => {
  const given = { experiment_id: experiment, start_time: 1, ...body };
  return (await api.made<{ run: WireRun }>('runs/create', given, token)).run;
};
const idOf = async (token: string, body: object = {}): Promise<string> =>
  (await create(token, body)).info.run_id;
const nested = (parent: string): object => ({
  tags: [{ key: 'mlflow.parentRunId', value: parent }],
});
const getRun = async (runId: string): Promise<WireRun> =>
  (await api.get('runs/get', { run_id: runId })).json<{ run: WireRun }>().run;
const trackedRun = async (stepKey = 'train'): Promise<unknown> => {
  const rows = await api.stack.database.postgres.query<{ id: string | null }>(
    'SELECT tracked_run_id AS id FROM steps WHERE run_id = $1 AND key = $2',
    [pipelineRun, stepKey],
  );
  return rows[0]?.id;
};
const refusal = (reply: HttpReply): unknown[] => [
  reply.status,
  reply.json<{ error_code?: string }>().error_code,
];

describe('a run made under the token of an attempt', () => {
  it('says where it comes from; the first one is the run of the step', async () => {
    const token = await begin(1);
    const child = await idOf(token, nested('0'.repeat(32)));
    expect(await trackedRun()).toBeNull(); // only one at the top counts
    const run = await create(token, { run_name: 'first' });
    const later = await idOf(token);
    expect(await trackedRun()).toBe(run.info.run_id);
    expect(new Set([child, run.info.run_id, later]).size).toBe(3);
    expect(run.data.tags).toEqual([
      { key: 'anneal.attempt', value: '1' },
      { key: 'anneal.pipelineRun', value: pipelineRun },
      { key: 'anneal.step', value: 'train' },
      { key: 'mlflow.runName', value: 'first' },
    ]);
  });

  it('is the same run in the next attempt: running again, with all that was logged', async () => {
    const first = await begin(1);
    const runId = await idOf(first, { run_name: 'kept' });
    const point = (step: number, value: number): object => ({
      ...{ run_id: runId, key: 'loss', value, step, timestamp: step + 1 },
    });
    for (const [step, value] of [8, 4, 2].entries()) {
      await api.made('runs/log-metric', point(step, value), first);
    }
    await api.made('runs/log-parameter', { run_id: runId, key: 'lr', value: '0.1' }, first);
    await api.made('runs/update', { run_id: runId, status: 'FAILED', end_time: 9 }, first);

    const second = await begin(2);
    const again = await create(second, { run_name: 'other', start_time: 77 });
    expect(again.info).toMatchObject({ run_id: runId, run_name: 'kept', status: 'RUNNING' });
    expect(again.info).toMatchObject({ start_time: 1 });
    expect(again.info).not.toHaveProperty('end_time');
    expect(again.data.params).toEqual([{ key: 'lr', value: '0.1' }]);
    expect(again.data.tags).toContainEqual({ key: 'anneal.attempt', value: '2' });
    expect(again.data.tags).toContainEqual({ key: 'mlflow.runName', value: 'kept' });
    for (const [step, value] of [3, 1].entries()) {
      await api.made('runs/log-metric', point(step + 2, value), second);
    }
    const reply = await api.get('metrics/get-history', { run_id: runId, metric_key: 'loss' });
    const points = reply.json<{ metrics: { step: number; value: number }[] }>().metrics;
    // the step that both attempts logged keeps both values
    expect(points.map(({ step, value }) => [step, value])).toEqual([[0, 8], [1, 4], [2, 2], [2, 3], [3, 1]]); // prettier-ignore
    expect(await trackedRun()).toBe(runId);
    const attempts = await api.stack.clickhouse.query<{ attempt: number; points: string }>(
      `SELECT attempt, count() AS points FROM metrics
      WHERE replaceAll(toString(run_id), '-', '') = {run:String}
      GROUP BY attempt ORDER BY attempt`,
      { run: runId },
    );
    expect(attempts.map(({ attempt, points: n }) => [attempt, Number(n)])).toEqual([[1, 3], [2, 2]]); // prettier-ignore
  });

  it('is matched by its order, nesting and experiment', async () => {
    const first = await begin(1);
    const other = await api.newExperiment();
    const a = await idOf(first);
    const a1 = await idOf(first, nested(a));
    const a2 = await idOf(first, nested(a));
    const elsewhere = await idOf(first, { experiment_id: other });
    const b = await idOf(first);
    const second = await begin(2);
    expect(await idOf(second, { experiment_id: other })).toBe(elsewhere);
    expect(await idOf(second, nested(a))).toBe(a1);
    expect(await idOf(second)).toBe(a);
    expect(await idOf(second, nested(a))).toBe(a2);
    expect(await idOf(second)).toBe(b);
    const fresh = await idOf(second);
    expect([a, a1, a2, elsewhere, b]).not.toContain(fresh);
    const third = await begin(3); // skips what it does not ask for, and finds what the second made
    expect([await idOf(third), await idOf(third), await idOf(third)]).toEqual([a, b, fresh]);
    const step = await begin(1, 'evaluate');
    expect([a, b, fresh]).not.toContain(await idOf(step));
  });

  it('comes back if someone deleted it: the attempt needs somewhere to log', async () => {
    const runId = await idOf(await begin(1));
    await api.made('runs/delete', { run_id: runId });
    const second = await begin(2);
    expect(await idOf(second)).toBe(runId);
    await api.made('runs/set-tag', { run_id: runId, key: 'k', value: 'v' }, second);
  });

  it('is one of its own for each of many creates at once', async () => {
    const first = await begin(1);
    const made = await Promise.all(Array.from({ length: 12 }, () => idOf(first)));
    expect(new Set(made).size).toBe(12);
    const second = await begin(2);
    const adopted = await Promise.all(Array.from({ length: 12 }, () => idOf(second)));
    expect(adopted.sort()).toEqual(made.sort());
  });
});

describe('params of an adopted run', () => {
  it('may change with the attempt; those of other steps may not', async () => {
    const first = await begin(1);
    const runId = await idOf(first);
    const other = await begin(1, 'evaluate');
    const sibling = await idOf(other);
    const set = (value: string, run = runId): object => ({ run_id: run, key: 'lr', value });
    await api.made('runs/log-parameter', set('0.1'), first);
    await api.made('runs/log-parameter', set('0.1', sibling), other);
    expect((await api.post('runs/log-parameter', set('0.2'), first)).status).toBe(400);
    const second = await begin(2);
    expect(await idOf(second)).toBe(runId);
    await api.made('runs/log-parameter', set('0.2'), second);
    expect((await getRun(runId)).data.params).toEqual([{ key: 'lr', value: '0.2' }]);
    expect((await api.post('runs/log-parameter', set('0.2', sibling), second)).status).toBe(400);
    expect((await api.post('runs/log-parameter', set('0.3'))).status).toBe(400); // nor by a person
  });
});

describe('an attempt that was replaced', () => {
  it('writes nothing any more', async () => {
    const first = await begin(1);
    const runId = await idOf(first);
    await begin(2);
    const before = await getRun(runId);
    for (const [path, body] of [
      ['runs/create', { experiment_id: experiment }],
      ['runs/update', { run_id: runId, status: 'FINISHED' }],
      ['runs/delete', { run_id: runId }],
      ['runs/log-metric', { run_id: runId, key: 'm', value: 1, timestamp: 1 }],
      ['runs/log-parameter', { run_id: runId, key: 'p', value: '1' }],
      ['runs/set-tag', { run_id: runId, key: 't', value: '1' }],
      ['runs/delete-tag', { run_id: runId, key: 'anneal.step' }],
      ['runs/log-batch', { run_id: runId, metrics: [{ key: 'm', value: 1, timestamp: 1 }] }],
    ] as const) {
      const reply = await api.post(path, body, first);
      expect([path, ...refusal(reply)]).toEqual([path, 409, 'RESOURCE_CONFLICT']);
      expect(reply.text).toContain("Attempt 1 of step 'train' was replaced by attempt 2.");
    }
    expect(await getRun(runId)).toEqual(before);
  });
});
