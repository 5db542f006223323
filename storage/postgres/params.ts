import type { KeyValue } from '../../schemas/experiments';
import type { Sql } from './client';

// rows go in by key: two batches for one run take its locks in one order
const INSERT = `
  INSERT INTO run_params (project_id, run_id, key, value)
  SELECT $1, $2, key, value FROM unnest($3::text[], $4::text[]) AS given (key, value)
  ORDER BY key COLLATE "C"
  ON CONFLICT (run_id, key) DO NOTHING`;
const OVERWRITE = `
  INSERT INTO run_params (project_id, run_id, key, value)
  SELECT $1, $2, key, value FROM unnest($3::text[], $4::text[]) AS given (key, value)
  ORDER BY key COLLATE "C"
  ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value`;
const SELECT = `
  SELECT run_id AS "runId", key, value FROM run_params
  WHERE project_id = $1 AND run_id = ANY($2) ORDER BY key`;

interface At {
  readonly projectId: string;
  readonly runId: string;
  readonly entries: readonly KeyValue[];
}
const valuesOf = (at: At): unknown[] => [
  at.projectId,
  at.runId,
  at.entries.map((entry) => entry.key),
  at.entries.map((entry) => entry.value),
];

/** Adds params; existing keys keep their value. */
export async function insertParams(sql: Sql, at: At): Promise<void> {
  await sql.query(INSERT, valuesOf(at));
}
/** Adds or replaces params. */
export async function overwriteParams(sql: Sql, at: At): Promise<void> {
  await sql.query(OVERWRITE, valuesOf(at));
}
export function selectParams(
  sql: Sql,
  { projectId, runIds }: { readonly projectId: string; readonly runIds: readonly string[] },
): Promise<(KeyValue & { readonly runId: string })[]> {
  return sql.query(SELECT, [projectId, runIds]);
}
