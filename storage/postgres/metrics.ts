import type { MetricPoint } from '../../schemas/metrics';
import type { Sql } from './client';

const SELECT_LATEST = `
  SELECT run_id AS "runId", key, is_nan AS "isNan", value, step, timestamp_ms AS "timestampMs"
  FROM run_metrics_latest WHERE project_id = $1 AND run_id = ANY($2) ORDER BY key`;
// rows go in by (run, key): two processes that write the same series take its locks in one order.
// A run that is gone is left out: its points have nobody to show them.
const UPSERT_LATEST = `
  INSERT INTO run_metrics_latest AS old
    (project_id, run_id, key, value, is_nan, step, timestamp_ms)
  SELECT p.project_id, p.run_id, p.key, p.value, p.is_nan, p.step, p.timestamp_ms
  FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::boolean[], $6::bigint[],
    $7::bigint[]) AS p (project_id, run_id, key, value, is_nan, step, timestamp_ms)
  JOIN runs r ON r.id = p.run_id AND r.project_id = p.project_id
  ORDER BY p.run_id COLLATE "C", p.key COLLATE "C"
  ON CONFLICT (run_id, key) DO UPDATE
  SET value = excluded.value, is_nan = excluded.is_nan, step = excluded.step,
    timestamp_ms = excluded.timestamp_ms
  WHERE (excluded.step, excluded.timestamp_ms, excluded.value)
    > (old.step, old.timestamp_ms, old.value)`;

/** The newest point of one series. */
export interface LatestMetric extends MetricPoint {
  readonly projectId: string;
  readonly runId: string;
}

/**
 * Whether a point is newer than another of its series: strictly greater (step, time, value), where
 * NaN counts as 0 (mlflow/store/tracking/sqlalchemy_store.py, `_update_latest_metric_if_necessary`).
 */
export function isNewer(point: MetricPoint, than: MetricPoint): boolean {
  if (point.step !== than.step) return point.step > than.step;
  if (point.timestampMs !== than.timestampMs) return point.timestampMs > than.timestampMs;
  return competing(point.value) > competing(than.value);
}
function competing(value: number): number {
  return Number.isNaN(value) ? 0 : value;
}

/** Keeps the newest point of each series, in one statement; at most one point per series given. */
export async function upsertLatestMetrics(
  sql: Sql,
  points: readonly LatestMetric[],
): Promise<void> {
  if (points.length === 0) return;
  await sql.query(UPSERT_LATEST, [
    points.map((point) => point.projectId),
    points.map((point) => point.runId),
    points.map((point) => point.key),
    points.map((point) => competing(point.value)),
    points.map((point) => Number.isNaN(point.value)),
    points.map((point) => point.step),
    points.map((point) => point.timestampMs),
  ]);
}

/** The newest point of each series of some runs. */
export async function selectLatestMetrics(
  sql: Sql,
  { projectId, runIds }: { readonly projectId: string; readonly runIds: readonly string[] },
): Promise<(MetricPoint & { readonly runId: string })[]> {
  type Row = MetricPoint & { readonly runId: string; readonly isNan: boolean };
  const rows = await sql.query<Row>(SELECT_LATEST, [projectId, runIds]);
  return rows.map(({ isNan, ...row }) => (isNan ? { ...row, value: NaN } : row));
}
