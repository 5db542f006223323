import type { MetricPoint } from '../../schemas/metrics';
import type { Sql } from './client';

const SELECT_LATEST = `
  SELECT run_id AS "runId", key, is_nan AS "isNan", value, step, timestamp_ms AS "timestampMs"
  FROM run_metrics_latest WHERE project_id = $1 AND run_id = ANY($2) ORDER BY key`;

/** The newest point of each series of some runs. */
export async function selectLatestMetrics(
  sql: Sql,
  { projectId, runIds }: { readonly projectId: string; readonly runIds: readonly string[] },
): Promise<(MetricPoint & { readonly runId: string })[]> {
  type Row = MetricPoint & { readonly runId: string; readonly isNan: boolean };
  const rows = await sql.query<Row>(SELECT_LATEST, [projectId, runIds]);
  return rows.map(({ isNan, ...row }) => (isNan ? { ...row, value: NaN } : row));
}
