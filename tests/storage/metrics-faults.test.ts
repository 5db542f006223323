import type { MetricPoint } from '../../schemas/metrics';
import { insertMetrics } from '../../storage/clickhouse/metrics';
import { selectLatestMetrics } from '../../storage/postgres/metrics';
import { insertRun, point, startMetricStack, type MetricStack } from '../support/metrics';

/** Each failure of a neighbour: what was acknowledged is stored once, as soon as it is back. */
describe('metrics while a store fails', () => {
  let stack: MetricStack;
  beforeAll(async () => {
    stack = await startMetricStack('http');
  });
  afterAll(() => stack.close());

  const points = Array.from({ length: 50 }, (_, step) => point({ step, value: step / 2 }));
  const append = (runId: string): Promise<void> =>
    stack.metrics.append({ projectId: 'default', attempt: 0, runId, points });
  const history = async (runId: string): Promise<readonly MetricPoint[]> =>
    (await stack.metrics.history({ projectId: 'default', runId, key: 'loss', maxResults: 1_000 }))
      .points;
  const physicalRows = async (runId: string): Promise<number> => {
    const sql = 'SELECT count() AS n FROM metrics WHERE run_id = {runId:UUID}';
    const [row] = await stack.clickhouse.query<{ n: string }>(sql, { runId });
    return Number(row?.n);
  };

  it.each(['hang-up', 'lose-answer', 'memory'] as const)(
    'stores a block once though inserts fail (%s)',
    async (how) => {
      const runId = await insertRun(stack.database.postgres);
      const { failures } = stack.metrics.flushStats();
      stack.front?.fail('INSERT INTO metrics', how, 2);
      await append(runId);
      expect(await history(runId)).toEqual(points);
      expect(await physicalRows(runId)).toBe(points.length);
      expect(stack.metrics.flushStats().failures).toBe(failures + 2);
      expect(stack.logged.length).toBeGreaterThan(0);
    },
  );

  it('goes on when Postgres is in order again', async () => {
    const { postgres } = stack.database;
    const runId = await insertRun(postgres);
    await postgres.query('ALTER TABLE run_metrics_latest RENAME TO gone');
    const { failures } = stack.metrics.flushStats();
    await append(runId);
    while (stack.metrics.flushStats().failures < failures + 2) await pause(20);
    await postgres.query('ALTER TABLE gone RENAME TO run_metrics_latest');
    expect(await history(runId)).toEqual(points);
    expect(await physicalRows(runId)).toBe(points.length);
    const latest = await selectLatestMetrics(postgres, { projectId: 'default', runIds: [runId] });
    expect(latest).toEqual([{ ...points.at(-1), runId }]);
  });

  it('waits for the stores when it ends', async () => {
    const runId = await insertRun(stack.database.postgres);
    await stack.database.postgres.query('ALTER TABLE run_metrics_latest RENAME TO gone');
    await append(runId);
    const closing = stack.reopen();
    while (stack.metrics.flushStats().lastError === undefined) await pause(20);
    await stack.database.postgres.query('ALTER TABLE gone RENAME TO run_metrics_latest');
    await closing;
    expect(await history(runId)).toEqual(points);
  });

  it('stores rows whose token was noted though they never arrived', async () => {
    const runId = await insertRun(stack.database.postgres);
    const batches = [{ projectId: 'default', runId, attempt: 0, points }];
    await insertMetrics(stack.clickhouse, { batches, token: 'lost', again: false });
    // deleted by a mutation, the rows are gone and the token is still known
    await stack.clickhouse.command(
      `ALTER TABLE metrics DELETE WHERE run_id = '${runId}' SETTINGS mutations_sync = 2`,
    );
    await insertMetrics(stack.clickhouse, { batches, token: 'lost', again: false });
    expect(await physicalRows(runId)).toBe(0);
    await insertMetrics(stack.clickhouse, { batches, token: 'lost', again: true });
    expect(await history(runId)).toEqual(points);
  });
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
