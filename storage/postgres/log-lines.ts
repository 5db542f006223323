import type { LogLine } from '../../schemas/pipeline-runs';
import type { AttemptKey } from './attempts';
import type { Sql } from './client';

/** A line with where it came from. */
export type StepLogLine = LogLine & { readonly stepKey: string; readonly attempt: number };

/** The place of a line in a run's log: pages go on behind it. */
export interface LogCursor {
  readonly at: string;
  readonly stepKey: string;
  readonly attempt: number;
  readonly seq: number;
}

const INSERT = `
INSERT INTO log_lines (project_id, run_id, step_key, attempt, seq, at, stream, text)
SELECT $1, $2, $3, $4, seq, at, stream, text
FROM unnest($5::integer[], $6::timestamptz[], $7::text[], $8::text[]) AS l (seq, at, stream, text)
ON CONFLICT DO NOTHING`;
const LIST = `
SELECT step_key AS "stepKey", attempt, seq, stream, text,
  to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at
FROM log_lines
WHERE project_id = $1 AND run_id = $2 AND ($3::text IS NULL OR step_key = $3)
  AND ($4::timestamptz IS NULL
    OR (at, step_key, attempt, seq) > ($4::timestamptz, $5::text, $6::integer, $7::integer))
ORDER BY at, step_key, attempt, seq LIMIT $8`;

/** Appends lines; those that are there already stay as they are. */
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
  await sql.query(INSERT, [key.projectId, key.runId, key.stepKey, key.attempt, ...columns]);
}

/** Lines of a run, or of one step of it, by time. */
export function selectLogLines(
  sql: Sql,
  find: {
    readonly projectId: string;
    readonly runId: string;
    readonly stepKey?: string | undefined;
    readonly after?: LogCursor | undefined;
    readonly limit: number;
  },
): Promise<StepLogLine[]> {
  const { projectId, runId, stepKey, after, limit } = find;
  const cursor = [
    after?.at ?? null,
    after?.stepKey ?? null,
    after?.attempt ?? null,
    after?.seq ?? null,
  ];
  return sql.query<StepLogLine>(LIST, [projectId, runId, stepKey ?? null, ...cursor, limit]);
}
