import type { Git } from '../../schemas/git';
import type { PipelineRun, PipelineRunStatus } from '../../schemas/pipeline-runs';
import type { Params } from '../../schemas/plan';
import type { RunTrigger } from '../../schemas/run-triggers';
import { INSERT_AUDIT } from './audit';
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
  readonly git: Git | undefined;
  readonly trigger: RunTrigger | undefined;
  readonly runKey: string | undefined;
  readonly priority: number | undefined;
  readonly deadlineAt: Date | undefined;
  /** The run whose results it may take, and the steps of the plan that run in any case. */
  readonly resumedFrom: string | undefined;
  readonly rerunSteps: readonly string[];
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

const PRIORITY_DEFAULT = 3;

const COLUMNS = `
id, plan_id, pipeline, params, code_digest, status, reason, is_paused, priority, deadline_at,
  resumed_from, git, trigger, created_at, started_at, ended_at,
to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS cursor`;
const INSERT = `
INSERT INTO pipeline_runs
  (project_id, id, plan_id, pipeline, params, code_digest, run_key, priority, resumed_from, rerun_steps,
   git, trigger, deadline_at, status)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'queued')
ON CONFLICT (id) DO NOTHING`;
const START = `
UPDATE pipeline_runs SET status = 'running', started_at = coalesce(started_at, now())
WHERE project_id = $1 AND id = $2 AND ended_at IS NULL`;
// ended once, ended for ever: a late repetition changes nothing
const FINISH = `
UPDATE pipeline_runs SET status = $3, reason = $4, is_paused = false, ended_at = now()
WHERE project_id = $1 AND id = $2 AND ended_at IS NULL`;
const STEER = `
WITH steered AS (
  UPDATE pipeline_runs SET is_paused = coalesce($3, is_paused), priority = coalesce($4, priority),
    deadline_at = CASE WHEN $9 THEN $10 ELSE deadline_at END, steered_at = $8
  WHERE project_id = $1 AND id = $2 AND (steered_at IS NULL OR steered_at < $8)
  RETURNING id
)
${INSERT_AUDIT}
SELECT $1, $5, 'pipeline-run.' || $6, 'pipeline-run/' || $2, $7 FROM steered`;
const CANCEL = `
WITH asked AS (
  UPDATE pipeline_runs SET is_paused = false WHERE project_id = $1 AND id = $2 RETURNING id
)
${INSERT_AUDIT}
SELECT $1, $3, 'pipeline-run.cancel', 'pipeline-run/' || $2, '{}' FROM asked`;
const LOCK = 'SELECT id FROM pipeline_runs WHERE project_id = $1 AND id = $2 FOR NO KEY UPDATE';
const FIND = `SELECT ${COLUMNS} FROM pipeline_runs WHERE project_id = $1 AND id = $2`;
const FIND_SOME = `SELECT ${COLUMNS} FROM pipeline_runs WHERE project_id = $1 AND id = ANY($2)`;
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
// of all projects: whoever cleans up asks no one
const LIST_OPEN = `
SELECT project_id AS "projectId", id FROM pipeline_runs
WHERE ended_at IS NULL AND id > $1 AND created_at < now() - make_interval(secs => $2)
ORDER BY id
LIMIT $3`;

interface Row {
  readonly id: string;
  readonly plan_id: string;
  readonly pipeline: string;
  readonly params: Params;
  readonly code_digest: string | null;
  readonly git: Git | null;
  readonly trigger: RunTrigger | null;
  readonly status: PipelineRunStatus;
  readonly reason: string | null;
  readonly is_paused: boolean;
  readonly priority: number;
  readonly deadline_at: Date | null;
  readonly resumed_from: string | null;
  readonly created_at: Date;
  readonly started_at: Date | null;
  readonly ended_at: Date | null;
  readonly cursor: string;
}

/** Has other writers of a run wait until the end of the transaction. */
export async function lockPipelineRun(sql: Sql, key: PipelineRunKey): Promise<void> {
  await sql.query(LOCK, [key.projectId, key.id]);
}

/** Stores a queued run; nothing happens if the id is taken. A taken run key is error 23505. */
export async function insertPipelineRun(sql: Sql, run: InsertPipelineRun): Promise<void> {
  const { projectId, id, planId, pipeline, params, codeDigest, runKey, priority } = run;
  await sql.query(INSERT, [
    projectId,
    id,
    planId,
    pipeline,
    JSON.stringify(params),
    codeDigest ?? null,
    runKey ?? null,
    priority ?? PRIORITY_DEFAULT,
    run.resumedFrom ?? null,
    run.rerunSteps,
    run.git === undefined ? null : JSON.stringify(run.git),
    run.trigger === undefined ? null : JSON.stringify(run.trigger),
    run.deadlineAt ?? null,
  ]);
}

/** Marks a run as running, unless it has ended. */
export async function startPipelineRun(sql: Sql, key: PipelineRunKey): Promise<void> {
  await sql.query(START, [key.projectId, key.id]);
}

/** Shows how a run was steered, and keeps who did it; nothing if it was steered at `at` or later. */
export async function steerPipelineRun(
  sql: Sql,
  steered: PipelineRunKey & {
    readonly isPaused?: boolean;
    readonly priority?: number;
    readonly deadlineAt?: Date | null; // null: none any more
    readonly actor: string;
    readonly action: string;
    readonly detail: Readonly<Record<string, unknown>>;
    readonly at: Date;
  },
): Promise<void> {
  const { projectId, id, isPaused, priority, actor, action, detail, at } = steered;
  const values = [projectId, id, isPaused ?? null, priority ?? null, actor, action];
  const { deadlineAt } = steered;
  const deadline = [deadlineAt !== undefined, deadlineAt ?? null];
  await sql.query(STEER, [...values, JSON.stringify(detail), at, ...deadline]);
}

/** Keeps who has cancelled a run; it is not paused any more. */
export async function cancelPipelineRun(
  sql: Sql,
  { projectId, id, actor }: PipelineRunKey & { readonly actor: string },
): Promise<void> {
  await sql.query(CANCEL, [projectId, id, actor]);
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

/** Those of these runs that are there, in any order. */
export async function findPipelineRuns(
  sql: Sql,
  some: { readonly projectId: string; readonly ids: readonly string[] },
): Promise<PipelineRun[]> {
  return (await sql.query<Row>(FIND_SOME, [some.projectId, some.ids])).map(toRun);
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

/** Runs that have not ended, older than `ageSeconds`, behind the id `after`. */
export function listOpenPipelineRuns(
  sql: Sql,
  list: { readonly after: string; readonly ageSeconds: number; readonly limit: number },
): Promise<PipelineRunKey[]> {
  return sql.query<PipelineRunKey>(LIST_OPEN, [list.after, list.ageSeconds, list.limit]);
}

function toRun(row: Row): PipelineRun {
  return {
    id: row.id,
    planId: row.plan_id,
    pipeline: row.pipeline,
    params: row.params,
    codeDigest: row.code_digest,
    git: row.git,
    trigger: row.trigger,
    status: row.status,
    reason: row.reason,
    isPaused: row.is_paused,
    priority: row.priority,
    deadline: row.deadline_at?.toISOString() ?? null,
    resumedFrom: row.resumed_from,
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}
