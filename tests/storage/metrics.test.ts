import fc from 'fast-check';
import type { MetricPoint } from '../../schemas/metrics';
import { selectLatestMetrics } from '../../storage/postgres/metrics';
import { insertRun, point, startMetricStack, type MetricStack } from '../support/metrics';

const DEFAULT = { projectId: 'default', attempt: 0 };
const ALL = { projectId: 'default', maxResults: 25_000 };

describe.each(['embedded', 'http'] as const)('metrics, %s', (way) => {
  let stack: MetricStack;
  beforeAll(async () => {
    stack = await startMetricStack(way);
  });
  afterAll(() => stack.close());

  const append = (runId: string, points: readonly MetricPoint[]): Promise<void> =>
    stack.metrics.append({ ...DEFAULT, runId, points });
  const history = async (runId: string, key = 'loss'): Promise<readonly MetricPoint[]> =>
    (await stack.metrics.history({ ...ALL, runId, key })).points;
  const run = (): Promise<string> => insertRun(stack.database.postgres);

  it('shows what was acknowledged to the next read', async () => {
    const runId = await run();
    for (let step = 0; step < 3; step++) {
      await append(runId, [point({ step })]);
      expect(await history(runId)).toHaveLength(step + 1);
    }
  });

  it('orders a series by time, step and value, and collapses equal points', async () => {
    const runId = await run();
    const sorted = [
      point({ timestampMs: 5, step: 9, value: 1 }),
      point({ timestampMs: 7, step: -1, value: 3 }),
      point({ timestampMs: 7, step: 2, value: -Infinity }),
      point({ timestampMs: 7, step: 2, value: -2.5 }),
      point({ timestampMs: 7, step: 2, value: 5e-324 }),
      point({ timestampMs: 7, step: 2, value: 1.7976931348623157e308 }),
      point({ timestampMs: 7, step: 2, value: Infinity }),
      point({ timestampMs: 7, step: 2, value: NaN }),
    ];
    await append(runId, [...sorted].reverse());
    await stack.metrics.settle();
    await append(runId, sorted);
    expect(await history(runId)).toEqual(sorted);
  });

  it('keeps runs, keys and projects apart', async () => {
    const [one, two] = [await run(), await run()];
    await append(one, [point({ value: 1 }), point({ key: 'acc', value: 2 })]);
    await append(two, [point({ value: 3 })]);
    expect(await history(one)).toEqual([point({ value: 1 })]);
    expect(await history(two)).toEqual([point({ value: 3 })]);
    const other = { ...ALL, projectId: 'other', runId: one, key: 'loss' };
    expect((await stack.metrics.history(other)).points).toEqual([]);
  });

  it.each(["it's", 'back\\slash', 'back\\tslash', 'é🙂/x y', '{k:String}', 'k'.repeat(250)])(
    'takes the key %j as it is',
    async (key) => {
      const runId = await run();
      await append(runId, [point({ key, value: 4 })]);
      expect(await history(runId, key)).toEqual([point({ key, value: 4 })]);
      const latest = await selectLatestMetrics(stack.database.postgres, {
        projectId: 'default',
        runIds: [runId],
      });
      expect(latest).toEqual([{ ...point({ key, value: 4 }), runId }]);
    },
  );

  it('takes the limits of step and time', async () => {
    const runId = await run();
    const edges = [
      point({ timestampMs: 0, step: Number.MIN_SAFE_INTEGER }),
      point({ timestampMs: 999, step: 0 }),
      point({ timestampMs: 7_258_118_400_000, step: Number.MAX_SAFE_INTEGER }),
    ];
    await append(runId, edges);
    expect(await history(runId)).toEqual(edges);
  });

  it('takes a batch that is spread over every month there is', async () => {
    const runId = await run();
    const month = 7_258_118_400_000 / 3_000;
    const points = Array.from({ length: 3_000 }, (_, i) =>
      point({ step: i, timestampMs: Math.floor(i * month) }),
    );
    await append(runId, points);
    // 3,000 partitions at once may take a slow machine longer than a read waits; clients ask again
    for (let asked = 1; asked < 5; asked += 1) {
      const isSettled = await stack.metrics.settle().then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'DEPENDENCY_UNAVAILABLE' });
          return false;
        },
      );
      if (isSettled) break;
    }
    expect(await history(runId)).toEqual(points);
  });

  it('pages through a series without gap or repetition', async () => {
    const runId = await run();
    const points = Array.from({ length: 57 }, (_, i) =>
      point({ timestampMs: Math.floor(i / 10), step: Math.floor(i / 5), value: i % 5 }),
    );
    for (let times = 0; times < 2; times++) {
      await append(runId, points); // the second time every point is there twice until a merge
      await stack.metrics.settle();
    }
    const seen: MetricPoint[] = [];
    let pageToken: string | undefined;
    let pages = 0;
    do {
      const find = { projectId: 'default', runId, key: 'loss', maxResults: 10, pageToken };
      const page = await stack.metrics.history(find);
      expect(page.points.length).toBeLessThanOrEqual(10);
      seen.push(...page.points);
      pageToken = page.nextPageToken;
      pages += 1;
    } while (pageToken !== undefined);
    expect(seen).toEqual(points);
    expect(pages).toBe(6);
  });

  it.each([
    'junk',
    'e30',
    Buffer.from('{"t":0,"s":0,"v":"99999999999999999999"}').toString('base64url'),
  ])('refuses the page token %s', async (pageToken) => {
    const find = { ...ALL, runId: await run(), key: 'loss', pageToken };
    await expect(stack.metrics.history(find)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it.each([
    { key: '' },
    { key: 'k'.repeat(251) },
    { key: 'a\tb' },
    { key: 'a\u0000' },
    { step: 2 ** 53 },
    { step: 0.5 },
    { step: NaN },
    { timestampMs: -1 },
    { timestampMs: 7_258_118_400_001 },
    { timestampMs: 1.5 },
  ])('refuses a batch with the point %j, all of it', async (wrong) => {
    const runId = await run();
    const batch = [point({}), point(wrong)];
    await expect(append(runId, batch)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await history(runId)).toEqual([]);
  });

  it('refuses more than 10,000 points and a run id that is none', async () => {
    const many = Array.from({ length: 10_001 }, () => point({}));
    await expect(append(await run(), many)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(append('nope', [point({})])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('goes on when the run of some points is gone', async () => {
    const gone = crypto.randomUUID().replaceAll('-', '');
    await append(gone, [point({ value: 8 })]);
    const runId = await run();
    await append(runId, [point({ value: 9 })]);
    expect(await history(runId)).toEqual([point({ value: 9 })]);
  });

  it('keeps the newest point of each series as a naive reading of the rule does', async () => {
    const value = fc.constantFrom(NaN, 0, -1, 1, Infinity, -Infinity, 2.5);
    const small = fc.integer({ min: -1, max: 1 });
    const points = fc.array(
      fc.record({
        key: fc.constantFrom('a', 'b'),
        value,
        step: small,
        timestampMs: small.map((n) => n + 1),
      }),
      { minLength: 1, maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(points, { minLength: 1, maxLength: 4 }), async (batches) => {
        const runId = await run();
        for (const batch of batches) {
          await append(runId, batch);
          if (batch.length % 2 === 0) await stack.metrics.settle();
        }
        await stack.metrics.settle();
        const latest = await selectLatestMetrics(stack.database.postgres, {
          projectId: 'default',
          runIds: [runId],
        });
        const expected = naiveLatest(batches.flat()).map((newest) => ({ ...newest, runId }));
        expect(latest).toEqual(expected);
      }),
      { numRuns: 40 },
    );
  });

  it('stores what was left in the log when it is opened again', async () => {
    const runId = await run();
    await append(runId, [point({ value: 11 })]);
    await stack.reopen();
    expect(await history(runId)).toEqual([point({ value: 11 })]);
    expect(stack.metrics.flushStats()).toMatchObject({ pendingBytes: 0, pendingBlocks: 0 });
  });
});

/** mlflow: point after point, a strictly greater (step, time, value) replaces; NaN competes as 0. */
function naiveLatest(points: readonly MetricPoint[]): MetricPoint[] {
  return ['a', 'b'].flatMap((key) => {
    let newest: MetricPoint | undefined;
    for (const next of points.filter((one) => one.key === key)) {
      const rank = (one: MetricPoint): number[] => [one.step, one.timestampMs, one.value || 0];
      if (newest === undefined || lexicographic(rank(next), rank(newest)) > 0) newest = next;
    }
    return newest === undefined ? [] : [newest];
  });
}
function lexicographic(left: readonly number[], right: readonly number[]): number {
  for (const [i, value] of left.entries()) {
    const other = right[i] ?? 0;
    if (value !== other) return value > other ? 1 : -1;
  }
  return 0;
}
