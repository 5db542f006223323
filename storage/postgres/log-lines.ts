import type { LogLine } from '../../schemas/pipeline-runs';
import type { AttemptKey } from './attempts';
import type { Sql } from './client';

/** A line with where it came from; `id` rises in the order in which lines became visible. */
export type StepLogLine = LogLine & {
  readonly id: number;
  readonly stepKey: string;
  readonly attempt: number;
};

// one writer per run at a time: ids rise in the order of commits, so a follower misses none
const LOCK = `SELECT pg_advisory_xact_lock(hashtextextended('log_lines/' || $1, 0))`;
const INSERT = `
INSERT INTO log_lines (project_id, run_id, step_key, attempt, seq, at, stream, text)
SELECT $1, $2, $3, $4, seq, at, stream, text
FROM unnest($5::integer[], $6::timestamptz[], $7::text[], $8::text[]) AS l (seq, at, stream, text)
ORDER BY seq
ON CONFLICT (run_id, step_key, attempt, seq) DO NOTHING`;
const LIST = `
SELECT id, step_key AS "stepKey", attempt, seq, stream, text,
  to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at
FROM log_lines
WHERE project_id = $1 AND run_id = $2 AND id > $3 AND ($4::text IS NULL OR step_key = $4)
  AND ($5::integer IS NULL OR attempt = $5)
ORDER BY id LIMIT $6`;

/** Appends lines, in a transaction; those that are there already stay as they are. */
export async function insertLogLines(
  sql: Sql,
  { lines, ...key }: AttemptKey & { readonly lines: readonly LogLine[] },
): Promise<void> {
  const columns = [
    lines.map((line) => line.seq),
    lines.map((line) => line.at),
    lines.map((line) => line.stream),
    lines.map((line) => line.text.replaceAll('\0', '\uFFFD')), // Postgres keeps no NUL in text
  ];
  await sql.query(LOCK, [key.runId]);
  await sql.query(INSERT, [key.projectId, key.runId, key.stepKey, key.attempt, ...columns]);
}

/** Lines of a run, of one step or one attempt of it, behind the id `after`; in order of arrival. */
export function selectLogLines(
  sql: Sql,
  find: {
    readonly projectId: string;
    readonly runId: string;
    readonly stepKey?: string | undefined;
    readonly attempt?: number | undefined;
    readonly after: number;
    readonly limit: number;
  },
): Promise<StepLogLine[]> {
  const { projectId, runId, stepKey, attempt, after, limit } = find;
  const values = [projectId, runId, after, stepKey ?? null, attempt ?? null, limit];
  return sql.query<StepLogLine>(LIST, values);
}
