import { z } from 'zod';
import { AppError, requireArgument } from '../errors/app-error';
import type { MetricBatch, MetricPoint } from '../schemas/metrics';
import type { ClickHouse } from '../storage/clickhouse/client';
import { selectHistory } from '../storage/clickhouse/metrics';
import type { Postgres } from '../storage/postgres/client';
import { encodeMetrics } from '../storage/wal/metrics';
import type { Wal } from '../storage/wal/wal';
import { createFlusher, type Flusher } from './metric-flusher';
import { readPageToken, toPage } from './page-token';

/** Limits of metrics; each is checked before anything is written. */
export const METRIC_LIMITS = {
  keyChars: 250,
  batchPoints: 10_000,
  projectIdBytes: 1_000,
  attemptMax: 1_000_000,
  /** 2200-01-01: later is a clock in other units, and the store's dates end in 2299. */
  timestampMsMax: 7_258_118_400_000,
  pagePoints: 25_000,
} as const;
/** Points become visible this long after their acknowledgement, or at once to a read here. */
const FREEZE_EVERY_MS = 200;
/** More blocks than this in the log, and writers are slowed down: about 3 s of work for the stores. */
const BLOCKS_AHEAD_MAX = 8;
/** How long: enough for a block or two to be stored, short of any client's patience. */
const SLOW_MS = 1_000;
/** A read waits this long for acknowledged points: longer means that a store is down. */
const SETTLE_MS_MAX = 10_000;
/** A stop waits this long for the stores; what is left is stored at the next start. */
const DRAIN_MS_MAX = 10_000;

const Cursor = z.strictObject({
  t: z.int(),
  s: z.int(),
  v: z
    .string()
    .regex(/^\d{1,20}$/)
    .refine((text) => BigInt(text) < 2n ** 64n),
});

/** Which page of which series. */
export interface FindMetricHistory {
  readonly projectId: string;
  readonly runId: string;
  readonly key: string;
  readonly maxResults: number; // 1 to 25,000
  readonly pageToken?: string | undefined;
}
/** Points by timestamp, step, value (NaN last); equal ones come once. */
export interface MetricHistory {
  readonly points: readonly MetricPoint[];
  readonly nextPageToken?: string;
}
/** How the write path is doing. */
export interface MetricStats {
  readonly points: number; // stored since the start
  readonly failures: number;
  readonly lastError: string | undefined;
  readonly pendingBytes: number;
  readonly pendingBlocks: number;
}
/** The metrics of all runs. */
export interface Metrics {
  /**
   * Resolves once every point is on the disk. INVALID_ARGUMENT or TOO_LARGE for a point or batch
   * over a limit, RATE_LIMITED, STORAGE_FULL, STORAGE_FAILED: then none of them was acknowledged.
   */
  append(batch: MetricBatch): Promise<void>;
  /** Resolves once all that was acknowledged can be read; DEPENDENCY_UNAVAILABLE after 10 s. */
  settle(): Promise<void>;
  /** A page of a series, with all that was acknowledged before; INVALID_ARGUMENT on a bad token. */
  history(find: FindMetricHistory): Promise<MetricHistory>;
  flushStats(): MetricStats;
  /** Takes nothing more, stores what it can within 10 s, closes the log (not the stores). */
  close(): Promise<void>;
}
export interface MetricDeps {
  readonly wal: Wal;
  readonly clickhouse: ClickHouse;
  readonly postgres: Postgres;
  readonly log?: (line: Record<string, unknown>) => void;
}

/** Starts the write path; what an earlier process left in the log is stored first. */
export function openMetrics(deps: MetricDeps): Metrics {
  const flusher = createFlusher({ ...deps, log: deps.log ?? (() => undefined) });
  const freezing = freezeSoon(deps.wal, flusher);
  let closed = false;
  freezing.arm();
  flusher.start();

  const settle = async (boundMs = SETTLE_MS_MAX): Promise<void> => {
    const { blocksFrozen, blocksStored, openBytes } = deps.wal.stats();
    if (openBytes === 0 && blocksFrozen === blocksStored) return;
    const count = await deps.wal.freeze();
    flusher.start();
    if (await flusher.stored(count, boundMs)) return;
    const why = flusher.stats().lastError ?? 'the stores are slow';
    const message = `Acknowledged metrics are not readable yet: ${why}`;
    const isFull = why.startsWith('STORAGE_FULL'); // the flusher keeps the code before the words
    throw new AppError(isFull ? 'STORAGE_FULL' : 'DEPENDENCY_UNAVAILABLE', message);
  };
  return {
    async append(batch) {
      checkBatch(batch);
      if (batch.points.length === 0) return;
      await waitForRoom(deps.wal, flusher);
      await deps.wal.append(encodeMetrics(batch), batch.points.length);
      if (!closed) freezing.arm();
    },
    settle: () => settle(),
    async history(find) {
      await settle();
      return readHistory(deps, find);
    },
    flushStats() {
      const { pendingBytes, blocksFrozen, blocksStored } = deps.wal.stats();
      return { ...flusher.stats(), pendingBytes, pendingBlocks: blocksFrozen - blocksStored };
    },
    async close() {
      closed = true;
      freezing.stop();
      await settle(DRAIN_MS_MAX).catch((error: unknown) => {
        deps.log?.({ level: 'warn', msg: 'metrics stay in the log', why: String(error) });
      });
      await flusher.stop();
      await deps.wal.close();
    },
  };
}

/**
 * Slows writers down that are faster than the stores, so that reads stay within reach. While a store
 * is down nobody waits: the log takes what it may hold.
 */
async function waitForRoom(wal: Wal, flusher: Flusher): Promise<void> {
  const { blocksFrozen, blocksStored } = wal.stats();
  if (blocksFrozen - blocksStored <= BLOCKS_AHEAD_MAX) return;
  if (flusher.stats().lastError !== undefined) return;
  await flusher.stored(blocksFrozen - BLOCKS_AHEAD_MAX, SLOW_MS);
}

/** Freezes the open block a little after its first batch, and wakes the flusher. */
function freezeSoon(wal: Wal, flusher: Flusher): { arm(): void; stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  const arm = (): void => {
    if (wal.next() !== undefined) flusher.start(); // a full block does not wait for the clock
    timer ??= setTimeout(() => {
      timer = undefined;
      wal.freeze().then(
        () => {
          flusher.start();
        },
        (error: unknown) => {
          // a full disk may get space again; a failed one has been reported by the log
          if (error instanceof AppError && error.code === 'STORAGE_FULL') arm();
        },
      );
    }, FREEZE_EVERY_MS);
  };
  return {
    arm,
    stop: () => {
      clearTimeout(timer);
    },
  };
}

async function readHistory(
  deps: { readonly clickhouse: ClickHouse },
  find: FindMetricHistory,
): Promise<MetricHistory> {
  const { projectId, runId, key, maxResults } = find;
  requireArgument(isRunId(runId), 'run_id must be 32 hexadecimal digits.');
  const inRange = maxResults >= 1 && maxResults <= METRIC_LIMITS.pagePoints;
  requireArgument(
    Number.isInteger(maxResults) && inRange,
    `max_results must be a whole number from 1 to ${METRIC_LIMITS.pagePoints}.`,
  );
  const cursor = readPageToken(find.pageToken, Cursor);
  const after = cursor && { timestampMs: cursor.t, step: cursor.s, valueOrder: cursor.v };
  const limit = maxResults + 1;
  const rows = await selectHistory(deps.clickhouse, { projectId, runId, key, after, limit });
  const { page, nextPageToken } = toPage(rows, maxResults, (row) => ({
    t: row.timestampMs,
    s: row.step,
    v: row.valueOrder,
  }));
  const points = page.map(({ value, step, timestampMs }) => ({ key, value, step, timestampMs }));
  return nextPageToken === undefined ? { points } : { points, nextPageToken };
}

function isRunId(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text);
}

/** Refuses what a later part could not store: behind this, a batch can always be written. */
function checkBatch(batch: MetricBatch): void {
  requireArgument(isRunId(batch.runId), 'run_id must be 32 hexadecimal digits.');
  const { length } = batch.points;
  requireArgument(
    length <= METRIC_LIMITS.batchPoints,
    `A batch holds at most ${METRIC_LIMITS.batchPoints} points, this one has ${length}.`,
  );
  const { attempt, projectId } = batch;
  requireArgument(
    Number.isInteger(attempt) && attempt >= 0 && attempt <= METRIC_LIMITS.attemptMax,
    'attempt must be a whole number from 0 to 1,000,000.',
  );
  const bytes = Buffer.byteLength(projectId);
  requireArgument(bytes > 0 && bytes <= METRIC_LIMITS.projectIdBytes, 'the project is not valid.');
  for (const point of batch.points) checkPoint(point);
}
function checkPoint({ key, step, timestampMs, value }: MetricPoint): void {
  if (key === '' || key.length > METRIC_LIMITS.keyChars || /\p{Cc}/u.test(key)) {
    const message = `A metric key has 1 to ${METRIC_LIMITS.keyChars} characters, none of them control.`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  if (!Number.isSafeInteger(step)) {
    const message = `The step of '${key}' must be a whole number within ±(2^53 − 1).`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  const { timestampMsMax } = METRIC_LIMITS;
  if (!Number.isSafeInteger(timestampMs) || timestampMs < 0 || timestampMs > timestampMsMax) {
    const message = `The timestamp of '${key}' must be whole milliseconds between 1970 and 2200.`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  if (typeof value !== 'number') {
    throw new AppError('INVALID_ARGUMENT', `The value of '${key}' must be a number.`);
  }
}
