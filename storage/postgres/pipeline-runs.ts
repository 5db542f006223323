import type { PipelineRun, PipelineRunStatus } from '../../schemas/pipeline-runs';
import type { Params } from '../../schemas/plan';
import type { Sql } from './client';

export interface PipelineRunKey {
  readonly projectId: string;
  readonly id: string;
}
export interface InsertPipelineRun extends PipelineRunKey {
  readonly planId: string;
  readonly pipeline: string;
  readonly params: Params;
  readonly codeDigest: string | undefined;
  readonly runKey: string | undefined;
}
/** Where a page begins: behind this run. `createdAt` keeps microseconds, so that no run is lost. */
export interface PipelineRunCursor {
  readonly createdAt: string;
  readonly id: string;
}
export interface ListPipelineRuns {
  readonly projectId: string;
  readonly status: PipelineRunStatus | undefined;
  readonly pipeline: string | undefined;
  readonly after: PipelineRunCursor | undefined;
  readonly limit: number;
}

const COLUMNS = `
id, plan_id, pipeline, params, code_digest, status, reason, created_at, started_at, ended_at,
to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS cursor`;
const INSERT = `
INSERT INTO pipeline_runs (project_id, id, plan_id, pipeline, params, code_digest, run_key, status)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued')
ON CONFLICT (id) DO NOTHING`;
const START = `
UPDATE pipeline_runs SET status = 'running', started_at = coalesce(started_at, now())
WHERE project_id = $1 AND id = $2 AND ended_at IS NULL`;
// ended once, ended for ever: a late repetition changes nothing
const FINISH = `
UPDATE pipeline_runs SET status = $3, reason = $4, ended_at = now()
WHERE project_id = $1 AND id = $2 AND ended_at IS NULL`;
const FIND = `SELECT ${COLUMNS} FROM pipeline_runs WHERE project_id = $1 AND id = $2`;
const FIND_BY_RUN_KEY = `
SELECT ${COLUMNS} FROM pipeline_runs WHERE project_id = $1 AND run_key = $2`;
// created_at falls while id rises, so the row comparison is spelt out; the first half uses the index
const LIST = `
SELECT ${COLUMNS} FROM pipeline_runs
WHERE project_id = $1
  AND ($2::text IS NULL OR status = $2)
  AND ($3::text IS NULL OR pipeline = $3)
  AND ($4::timestamptz IS NULL OR created_at <= $4)
  AND ($4::timestamptz IS NULL OR created_at < $4 OR id > $5)
ORDER BY created_at DESC, id
LIMIT $6`;

interface Row {
  readonly id: string;
  readonly plan_id: string;
  readonly pipeline: string;
  readonly params: Params;
  readonly code_digest: string | null;
  readonly status: PipelineRunStatus;
  readonly reason: string | null;
  readonly created_at: Date;
  readonly started_at: Date | null;
  readonly ended_at: Date | null;
  readonly cursor: string;
}

/** Stores a queued run; nothing happens if the id is taken. A taken run key is error 23505. */
export async function insertPipelineRun(sql: Sql, run: InsertPipelineRun): Promise<void> {
  const { projectId, id, planId, pipeline, params, codeDigest, runKey } = run;
  await sql.query(INSERT, [
    projectId,
    id,
    planId,
    pipeline,
    JSON.stringify(params),
    codeDigest ?? null,
    runKey ?? null,
  ]);
}

/** Marks a run as running, unless it has ended. */
export async function startPipelineRun(sql: Sql, key: PipelineRunKey): Promise<void> {
  await sql.query(START, [key.projectId, key.id]);
}

/** Writes how a run ended; the first end stays. */
export async function finishPipelineRun(
  sql: Sql,
  end: PipelineRunKey & { readonly status: PipelineRunStatus; readonly reason: string | undefined },
): Promise<void> {
  await sql.query(FINISH, [end.projectId, end.id, end.status, end.reason ?? null]);
}

/** One run, or undefined. */
export async function findPipelineRun(
  sql: Sql,
  key: PipelineRunKey,
): Promise<PipelineRun | undefined> {
  const [row] = await sql.query<Row>(FIND, [key.projectId, key.id]);
  return row === undefined ? undefined : toRun(row);
}

/** The run that was started with this key, or undefined. */
export async function findPipelineRunByRunKey(
  sql: Sql,
  key: { readonly projectId: string; readonly runKey: string },
): Promise<PipelineRun | undefined> {
  const [row] = await sql.query<Row>(FIND_BY_RUN_KEY, [key.projectId, key.runKey]);
  return row === undefined ? undefined : toRun(row);
}

/** A page of runs, newest first, each with the cursor behind it. */
export async function listPipelineRuns(
  sql: Sql,
  list: ListPipelineRuns,
): Promise<{ readonly run: PipelineRun; readonly cursor: PipelineRunCursor }[]> {
  const { projectId, status, pipeline, after, limit } = list;
  const rows = await sql.query<Row>(LIST, [
    projectId,
    status ?? null,
    pipeline ?? null,
    after?.createdAt ?? null,
    after?.id ?? '',
    limit,
  ]);
  return rows.map((row) => ({
    run: toRun(row),
    cursor: { createdAt: row.cursor, id: row.id },
  }));
}

function toRun(row: Row): PipelineRun {
  return {
    id: row.id,
    planId: row.plan_id,
    pipeline: row.pipeline,
    params: row.params,
    codeDigest: row.code_digest,
    status: row.status,
    reason: row.reason,
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}
