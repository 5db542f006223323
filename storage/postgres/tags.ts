import type { KeyValue } from '../../schemas/experiments';
import type { Sql } from './client';

// rows go in by key: two batches for one run take its locks in one order
const UPSERT = `
  INSERT INTO run_tags (project_id, run_id, key, value)
  SELECT $1, $2, key, value FROM unnest($3::text[], $4::text[]) AS given (key, value)
  ORDER BY key COLLATE "C"
  ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value`;
const DELETE = `
  DELETE FROM run_tags WHERE project_id = $1 AND run_id = $2 AND key = $3 RETURNING key`;
const SELECT = `
  SELECT run_id AS "runId", key, value FROM run_tags
  WHERE project_id = $1 AND run_id = ANY($2) ORDER BY key`;

/** Sets tags; of a key given twice the last wins. */
export async function upsertTags(
  sql: Sql,
  at: { readonly projectId: string; readonly runId: string; readonly entries: readonly KeyValue[] },
): Promise<void> {
  const last = new Map(at.entries.map((entry) => [entry.key, entry.value]));
  await sql.query(UPSERT, [at.projectId, at.runId, [...last.keys()], [...last.values()]]);
}

/** Removes a tag; false if there was none. */
export async function deleteTag(
  sql: Sql,
  at: { readonly projectId: string; readonly runId: string; readonly key: string },
): Promise<boolean> {
  return (await sql.query(DELETE, [at.projectId, at.runId, at.key])).length > 0;
}

export function selectTags(
  sql: Sql,
  { projectId, runIds }: { readonly projectId: string; readonly runIds: readonly string[] },
): Promise<(KeyValue & { readonly runId: string })[]> {
  return sql.query(SELECT, [projectId, runIds]);
}
