import { setImmediate } from 'node:timers/promises';
import type { MetricBatch, MetricPoint } from '../../schemas/metrics';
import type { ClickHouse } from './client';

/** Ten milliseconds of writing lines. */
const POINTS_PER_TURN = 10_000;
const COLUMNS = ['project_id', 'run_id', 'key', 'step', 'timestamp_ms', 'value', 'attempt'];
const FIND_HISTORY = `
SELECT timestamp_ms AS timestampMs, step, value, toString(value_order) AS valueOrder
FROM metrics
WHERE project_id = {projectId:String} AND run_id = {runId:UUID} AND key = {key:String}
  AND timestamp_ms >= {timestampMs:Int64}
  AND ({first:Bool} OR (timestamp_ms, step, value_order)
    > ({timestampMs:Int64}, {step:Int64}, {valueOrder:UInt64}))
ORDER BY timestamp_ms, step, value_order`;
// equal points that no merge has collapsed yet are one point; collapsing them here sorts all that
// is left of a series, while the plain query keeps the smallest rows only: of a series of 1 M points
// a page takes a quarter of the time
const SELECT_HISTORY = `${FIND_HISTORY}
LIMIT {limit:UInt32}`;
const SELECT_COLLAPSED = `${FIND_HISTORY}
LIMIT 1 BY timestamp_ms, step, value_order
LIMIT {limit:UInt32}`;
const COUNT_SAMPLES = `
SELECT uniqExact(project_id, run_id, key, step, timestamp_ms) AS found FROM metrics
WHERE (project_id, run_id, key, step, timestamp_ms) IN (
  SELECT arrayJoin(arrayZip({projectIds:Array(String)}, {runIds:Array(UUID)}, {keys:Array(String)},
    {steps:Array(Int64)}, {timestamps:Array(Int64)})))`;

/** A point of a known series; `valueOrder` (a UInt64 as text) sorts like the value, NaN last. */
export interface HistoryPoint {
  readonly timestampMs: number;
  readonly step: number;
  readonly value: number;
  readonly valueOrder: string;
}
/** Where a page of a history begins: behind this point. */
export type HistoryCursor = Omit<HistoryPoint, 'value'>;
export interface FindHistory {
  readonly projectId: string;
  readonly runId: string;
  readonly key: string;
  readonly after: HistoryCursor | undefined;
  readonly limit: number;
}

/** What goes into one insert. */
export interface InsertMetrics {
  readonly batches: readonly MetricBatch[];
  /** The same token with the same batches again changes nothing. */
  readonly token: string;
  /** An earlier try may have got through, or half of it. */
  readonly again: boolean;
}

/**
 * Stores batches in one insert, atomically for each month. ClickHouse notes a token apart from the
 * rows: if it was stopped between the two, it skips a retry though the rows are not there. So after
 * a retry one row of each month is looked for, and if it is missing the rows go in under another
 * token; those that were there already become one with their equals.
 */
export async function insertMetrics(clickhouse: ClickHouse, insert: InsertMetrics): Promise<void> {
  const { batches, token, again } = insert;
  const body = await bodyOf(batches);
  await clickhouse.insert({ table: 'metrics', columns: COLUMNS, body, token });
  if (!again || (await samplesAreThere(clickhouse, batches))) return;
  const other = `${token}:${crypto.randomUUID()}`;
  await clickhouse.insert({ table: 'metrics', columns: COLUMNS, body, token: other });
}

async function samplesAreThere(
  clickhouse: ClickHouse,
  batches: readonly MetricBatch[],
): Promise<boolean> {
  const samples = new Map<string, { batch: MetricBatch; point: MetricPoint }>();
  for (const batch of batches) {
    for (const point of batch.points) {
      const month = new Date(point.timestampMs).toISOString().slice(0, 7);
      if (!samples.has(month)) samples.set(month, { batch, point });
    }
  }
  const all = [...samples.values()];
  const rows = await clickhouse.query<{ found: number | string }>(COUNT_SAMPLES, {
    projectIds: all.map(({ batch }) => batch.projectId),
    runIds: all.map(({ batch }) => batch.runId),
    keys: all.map(({ point }) => point.key),
    steps: all.map(({ point }) => point.step),
    timestamps: all.map(({ point }) => point.timestampMs),
  });
  return Number(rows[0]?.found) === all.length;
}

/** A page of a series by timestamp, step, value; a point that was sent twice comes once. */
export async function selectHistory(
  clickhouse: ClickHouse,
  find: FindHistory,
): Promise<HistoryPoint[]> {
  const rows = await readHistory(clickhouse, SELECT_HISTORY, find);
  const points = rows.filter((row, i) => !isEqual(row, rows[i - 1]));
  if (points.length === rows.length || rows.length < find.limit) return points;
  const rest = { ...find, after: points.at(-1), limit: find.limit - points.length };
  return points.concat(await readHistory(clickhouse, SELECT_COLLAPSED, rest));
}

async function readHistory(
  clickhouse: ClickHouse,
  sql: string,
  find: FindHistory,
): Promise<HistoryPoint[]> {
  // a server may be set to quote 64-bit numbers
  type Row = { readonly [Column in keyof HistoryPoint]: number | string };
  const { projectId, runId, key, after, limit } = find;
  const rows = await clickhouse.query<Row>(sql, {
    ...{ projectId, runId, key, limit, first: after === undefined },
    timestampMs: after?.timestampMs ?? 0,
    step: after?.step ?? 0,
    valueOrder: after?.valueOrder ?? '0',
  });
  return rows.map((row) => ({
    timestampMs: Number(row.timestampMs),
    step: Number(row.step),
    value: readDouble(row.value),
    valueOrder: String(row.valueOrder),
  }));
}
function isEqual(one: HistoryCursor, other: HistoryCursor | undefined): boolean {
  return (
    one.timestampMs === other?.timestampMs &&
    one.step === other.step &&
    one.valueOrder === other.valueOrder
  );
}

/** A block is 100,000 lines, a tenth of a second of work: others get their turn in between. */
async function bodyOf(batches: readonly MetricBatch[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  let points = 0;
  for (const batch of batches) {
    parts.push(Buffer.from(linesOf(batch)));
    points += batch.points.length;
    if (points < POINTS_PER_TURN) continue;
    points = 0;
    await setImmediate();
  }
  return Buffer.concat(parts);
}
function linesOf(batch: MetricBatch): string {
  const head = `${escape(batch.projectId)}\t${batch.runId}\t`;
  const tail = `\t${batch.attempt}\n`;
  return batch.points.map((point) => head + pointOf(point) + tail).join('');
}
function pointOf(point: MetricPoint): string {
  return `${escape(point.key)}\t${point.step}\t${point.timestampMs}\t${writeDouble(point.value)}`;
}
/** TabSeparated: a backslash, tab or line end inside a value would begin something else. */
function escape(text: string): string {
  if (!/[\\\t\n\r\0]/.test(text)) return text;
  return text
    .replaceAll('\\', '\\\\')
    .replaceAll('\t', '\\t')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\0', '\\0');
}
/** `Infinity` is not what ClickHouse calls it, and the text of -0 has lost its sign. */
function writeDouble(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (value === Infinity) return 'inf';
  if (value === -Infinity) return '-inf';
  return Object.is(value, -0) ? '-0' : String(value);
}
function readDouble(value: number | string): number {
  if (value === 'nan' || value === '-nan') return NaN;
  if (value === 'inf') return Infinity;
  return value === '-inf' ? -Infinity : Number(value);
}
