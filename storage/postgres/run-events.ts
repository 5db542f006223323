import type { Sql } from './client';

/** What tells that something has happened in a run. */
export interface RunMark {
  readonly hasEnded: boolean;
  readonly transition: number; // ids of the newest, 0 before the first
  readonly line: number;
}

const MARK = `
SELECT ended_at IS NOT NULL AS "hasEnded",
  coalesce((SELECT max(id) FROM transitions WHERE run_id = $2), 0) AS transition,
  coalesce((SELECT max(id) FROM log_lines WHERE run_id = $2), 0) AS line
FROM pipeline_runs WHERE project_id = $1 AND id = $2`;

/** The newest of a run, or undefined. Two look-ups in an index: cheap enough to be asked often. */
export async function findRunMark(
  sql: Sql,
  run: { readonly projectId: string; readonly runId: string },
): Promise<RunMark | undefined> {
  return (await sql.query<RunMark>(MARK, [run.projectId, run.runId]))[0];
}
