import { isAppError } from '../errors/app-error';
import type { ClickHouse } from '../storage/clickhouse/client';
import { insertMetrics } from '../storage/clickhouse/metrics';
import type { Postgres } from '../storage/postgres/client';
import { isNewer, upsertLatestMetrics, type LatestMetric } from '../storage/postgres/metrics';
import { decodeMetrics } from '../storage/wal/metrics';
import type { Wal } from '../storage/wal/wal';
import type { MetricBatch, MetricPoint } from '../schemas/metrics';

/** First wait after a failure; short, as most failures are a restart of a neighbour. */
const RETRY_MIN_MS = 100;
/** Longest wait: how late metrics appear after a store has come back. */
const RETRY_MAX_MS = 5_000;

export interface FlusherDeps {
  readonly wal: Wal;
  readonly clickhouse: ClickHouse;
  readonly postgres: Postgres;
  readonly log: (line: Record<string, unknown>) => void;
}
/** What the flusher did since the start. */
export interface FlusherStats {
  readonly points: number;
  readonly failures: number;
  readonly lastError: string | undefined;
}
/** Moves frozen blocks from the log to the stores, oldest first, one at a time. */
export interface Flusher {
  /** Begins if there is something to do and nothing is under way. */
  start(): void;
  /** Resolves once `count` blocks are stored; false if that takes longer than `boundMs`. */
  stored(count: number, boundMs: number): Promise<boolean>;
  stats(): FlusherStats;
  /** Ends after the block under way; the others stay in the log. */
  stop(): Promise<void>;
}

const NOT_STORED = 'metrics could not be stored; they are safe in the log and will be tried again';

/** A pause that can be cut short. */
function createNap(): { sleep(ms: number): Promise<void>; wake(): void } {
  let wake: () => void = () => undefined;
  return {
    wake: () => {
      wake();
    },
    sleep: (ms) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      }),
  };
}

interface Waiting {
  readonly count: number;
  readonly done: (stored: boolean) => void;
}

/** Makes a flusher; failures of a store are retried without end, the data waits in the log. */
export function createFlusher(deps: FlusherDeps): Flusher {
  const nap = createNap();
  let running: Promise<void> | undefined;
  let stopped = false;
  let waiting: Waiting[] = [];
  // one block is in flight at a time: of those that an earlier process left, the oldest may be it
  let tried = deps.wal.next()?.token;
  const totals = { points: 0, failures: 0, lastError: undefined as string | undefined };
  const notify = (): void => {
    const { blocksStored } = deps.wal.stats();
    for (const one of waiting) if (one.count <= blocksStored) one.done(true);
    waiting = waiting.filter((one) => one.count > blocksStored);
  };
  const run = async (): Promise<void> => {
    let wait = RETRY_MIN_MS;
    while (!stopped && deps.wal.next() !== undefined) {
      try {
        totals.points += await storeBlock(deps, tried);
        totals.lastError = undefined;
        wait = RETRY_MIN_MS;
        notify();
      } catch (error) {
        totals.failures += 1;
        tried = deps.wal.next()?.token;
        totals.lastError = describe(error);
        deps.log({ level: 'error', msg: NOT_STORED, why: totals.lastError, inMs: wait });
        await nap.sleep(wait);
        wait = Math.min(wait * 2, RETRY_MAX_MS);
      }
    }
  };
  const start = (): void => {
    if (running !== undefined || stopped) return;
    running = run().finally(() => {
      running = undefined;
      if (deps.wal.next() !== undefined) start(); // one was frozen as the loop ended
    });
  };
  return {
    start,
    stats: () => ({ ...totals }),
    stored: async (count, boundMs) => {
      if (deps.wal.stats().blocksStored >= count) return true;
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, boundMs, false);
        const done = (stored: boolean): void => {
          clearTimeout(timer);
          resolve(stored);
        };
        waiting.push({ count, done });
      });
    },
    async stop() {
      stopped = true;
      nap.wake();
      await running;
      for (const one of waiting) one.done(false);
    },
  };
}

/** Stores the oldest block; every part of it may be repeated. Returns its points. */
async function storeBlock(deps: FlusherDeps, tried: string | undefined): Promise<number> {
  const block = deps.wal.next();
  if (block === undefined) return 0;
  const batches = (await deps.wal.read(block)).map(decodeMetrics);
  if (batches.length > 0) {
    const { token } = block;
    await insertMetrics(deps.clickhouse, { batches, token, again: token === tried });
    await upsertLatestMetrics(deps.postgres, latestOf(batches));
  }
  await deps.wal.checkpoint(block);
  return batches.reduce((sum, batch) => sum + batch.points.length, 0);
}

/** The newest point of each series of a block. */
function latestOf(batches: readonly MetricBatch[]): LatestMetric[] {
  const runs = new Map<string, { batch: MetricBatch; series: Map<string, MetricPoint> }>();
  for (const batch of batches) {
    const id = `${batch.projectId}\n${batch.runId}`;
    const run = runs.get(id) ?? { batch, series: new Map<string, MetricPoint>() };
    runs.set(id, run);
    for (const point of batch.points) {
      const old = run.series.get(point.key);
      if (old === undefined || isNewer(point, old)) run.series.set(point.key, point);
    }
  }
  return [...runs.values()].flatMap(({ batch: { projectId, runId }, series }) =>
    Array.from(series.values(), (point) => ({ projectId, runId, ...point })),
  );
}

function describe(error: unknown): string {
  if (isAppError(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? error.message.slice(0, 500) : String(error);
}
