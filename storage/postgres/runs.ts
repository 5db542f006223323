import type { LifecycleStage } from '../../schemas/experiments';
import type { Adopt } from '../../schemas/plan';
import type { Run, RunStatus } from '../../schemas/runs';
import type { Sql } from './client';

const COLUMNS = `
  id, experiment_id AS "experimentId", name, user_id AS "userId", status,
  started_ms AS "startedMs", ended_ms AS "endedMs", lifecycle_stage AS "lifecycleStage",
  artifact_uri AS "artifactUri", pipeline_run_id AS "pipelineRunId", step_key AS "stepKey", attempt`;
const INSERT = `
  INSERT INTO runs (project_id, id, experiment_id, name, user_id, status, started_ms, artifact_uri,
    pipeline_run_id, step_key, attempt, adoption_key)
  VALUES ($1, $2, $3, $4, $5, 'RUNNING', $6, $7, $8, $9, $10, $11)
  RETURNING ${COLUMNS}`;
const SELECT = `SELECT ${COLUMNS} FROM runs WHERE project_id = $1 AND id = $2`;
// newest first, id as the tie-break
const SELECT_PAGE = `
  SELECT ${COLUMNS} FROM runs
  WHERE project_id = $1 AND experiment_id = ANY($2) AND lifecycle_stage = ANY($3)
    AND ($4::bigint IS NULL OR started_ms < $4 OR (started_ms = $4 AND id > $5))
  ORDER BY started_ms DESC, id ASC LIMIT $6`;
const UPDATE = `
  UPDATE runs SET status = coalesce($3, status), ended_ms = coalesce($4, ended_ms),
    name = coalesce($5, name)
  WHERE project_id = $1 AND id = $2 RETURNING ${COLUMNS}`;
const SET_STAGE = 'UPDATE runs SET lifecycle_stage = $3 WHERE project_id = $1 AND id = $2';
// the row of the step serialises the creates of its attempts
const LOCK_STEP = `
  SELECT spec ->> 'adopt' AS adopt FROM steps
  WHERE project_id = $1 AND run_id = $2 AND key = $3 FOR NO KEY UPDATE`;
const COUNT_OF_ATTEMPT = `
  SELECT count(*) AS count FROM runs
  WHERE project_id = $1 AND pipeline_run_id = $2 AND step_key = $3 AND attempt = $4
    AND adoption_key LIKE $5`;
// a run that someone deleted in between comes back: the attempt must have somewhere to log
const ADOPT = `
  UPDATE runs SET status = 'RUNNING', ended_ms = NULL, attempt = $4, lifecycle_stage = 'active'
  WHERE project_id = $1 AND pipeline_run_id = $2 AND step_key = $3 AND adoption_key = $5
  RETURNING ${COLUMNS}`;
const SET_TRACKED_RUN = `
  UPDATE steps SET tracked_run_id = $4
  WHERE project_id = $1 AND run_id = $2 AND key = $3
    AND (tracked_run_id IS NULL OR ($5
      AND (SELECT r.attempt FROM runs r WHERE r.id = steps.tracked_run_id) < $6::integer))`;
// what a script has ended itself stays; what the last attempt has not taken up was never finished.
// Locked in one order, so that two closers of the same runs wait for each other in one direction.
const CLOSE = `
  WITH ended AS (
    SELECT * FROM unnest($3::text[], $4::integer[], $5::text[], $6::bigint[])
      AS t (step_key, attempt, status, at_ms)
  ), open AS (
    SELECT r.id, CASE
        WHEN e.status = 'cancelled' THEN 'KILLED'
        WHEN e.status = 'succeeded' AND r.attempt >= e.attempt THEN 'FINISHED'
        ELSE 'FAILED'
      END AS status, e.at_ms
    FROM runs r JOIN ended e ON r.step_key = e.step_key
    WHERE r.project_id = $1 AND r.pipeline_run_id = $2 AND r.status IN ('RUNNING', 'SCHEDULED')
    ORDER BY r.id FOR NO KEY UPDATE OF r
  )
  UPDATE runs r SET status = open.status, ended_ms = coalesce(r.ended_ms, open.at_ms)
  FROM open WHERE r.id = open.id`;
const CLOSE_ALL = `
  WITH open AS (
    SELECT id FROM runs
    WHERE project_id = $1 AND pipeline_run_id = $2 AND status IN ('RUNNING', 'SCHEDULED')
    ORDER BY id FOR NO KEY UPDATE
  )
  UPDATE runs r SET status = $3, ended_ms = coalesce(r.ended_ms, $4)
  FROM open WHERE r.id = open.id`;
const NEWER_ATTEMPT = `
  SELECT max(attempt) AS newest FROM attempts
  WHERE project_id = $1 AND run_id = $2 AND step_key = $3`;

interface At {
  readonly projectId: string;
  readonly id: string;
}
/** Which step of which pipeline run a tracked run belongs to. */
export interface StepOfRun {
  readonly pipelineRunId: string;
  readonly stepKey: string;
  readonly attempt: number;
  readonly adoptionKey: string;
}
export interface NewRun extends At {
  readonly experimentId: number;
  readonly name: string;
  readonly userId: string;
  readonly startedMs: number;
  readonly artifactUri: string;
  readonly step?: StepOfRun | undefined;
}

export async function insertRun(sql: Sql, run: NewRun): Promise<Run> {
  const { step } = run;
  const own = [
    run.projectId,
    run.id,
    run.experimentId,
    run.name,
    run.userId,
    run.startedMs,
    run.artifactUri,
  ];
  const ofStep = [step?.pipelineRunId, step?.stepKey, step?.attempt, step?.adoptionKey];
  const [row] = await sql.query<Run>(INSERT, [...own, ...ofStep.map((value) => value ?? null)]);
  if (row === undefined) throw new Error('the insert of a run returned nothing');
  return row;
}

export async function selectRun(sql: Sql, at: At): Promise<Run | undefined> {
  return (await sql.query<Run>(SELECT, [at.projectId, at.id]))[0];
}

/** A page of runs of some experiments, newest first. */
export function selectRuns(
  sql: Sql,
  page: {
    readonly projectId: string;
    readonly experimentIds: readonly number[];
    readonly stages: readonly LifecycleStage[];
    readonly after?: { readonly startedMs: number; readonly id: string } | undefined;
    readonly limit: number;
  },
): Promise<Run[]> {
  const { projectId, experimentIds, stages, after, limit } = page;
  const values = [
    projectId,
    experimentIds,
    stages,
    after?.startedMs ?? null,
    after?.id ?? null,
    limit,
  ];
  return sql.query<Run>(SELECT_PAGE, values);
}

/** Changes what is given; undefined if there is no such run. */
export async function updateRun(
  sql: Sql,
  at: At & {
    readonly status?: RunStatus | undefined;
    readonly endedMs?: number | undefined;
    readonly name?: string | undefined;
  },
): Promise<Run | undefined> {
  const values = [at.projectId, at.id, at.status ?? null, at.endedMs ?? null, at.name ?? null];
  return (await sql.query<Run>(UPDATE, values))[0];
}

export async function setRunStage(
  sql: Sql,
  at: At & { readonly stage: LifecycleStage },
): Promise<void> {
  await sql.query(SET_STAGE, [at.projectId, at.id, at.stage]);
}

interface AttemptAt {
  readonly projectId: string;
  readonly pipelineRunId: string;
  readonly stepKey: string;
  readonly attempt: number;
}

/** Locks the step until the transaction ends; false if there is no such step. */
export async function lockStepOfRun(
  sql: Sql,
  at: AttemptAt,
): Promise<{ readonly adopt: Adopt | null } | undefined> {
  const values = [at.projectId, at.pipelineRunId, at.stepKey];
  return (await sql.query<{ adopt: Adopt | null }>(LOCK_STEP, values))[0];
}

/** How many runs under keys that begin with `prefix` this attempt has made or adopted. */
export async function countRunsOfAttempt(
  sql: Sql,
  at: AttemptAt & { readonly prefix: string },
): Promise<number> {
  const values = [at.projectId, at.pipelineRunId, at.stepKey, at.attempt, `${at.prefix}%`];
  return (await sql.query<{ count: number }>(COUNT_OF_ATTEMPT, values))[0]?.count ?? 0;
}

/** Takes over the run that an earlier attempt made under this key. */
export async function adoptRun(
  sql: Sql,
  at: AttemptAt & { readonly adoptionKey: string },
): Promise<Run | undefined> {
  const values = [at.projectId, at.pipelineRunId, at.stepKey, at.attempt, at.adoptionKey];
  return (await sql.query<Run>(ADOPT, values))[0];
}

/** The first run that a step makes is the step's run. */
export async function setTrackedRun(
  sql: Sql,
  at: AttemptAt & { readonly runId: string; readonly replacesOlder: boolean },
): Promise<void> {
  const { projectId, pipelineRunId, stepKey, runId, replacesOlder, attempt } = at;
  const values = [projectId, pipelineRunId, stepKey, runId, replacesOlder, attempt];
  await sql.query(SET_TRACKED_RUN, values);
}

/** How a step has ended, and with which attempt. */
export interface EndedStep {
  readonly stepKey: string;
  readonly attempt: number;
  readonly status: 'succeeded' | 'failed' | 'cancelled';
  readonly atMs: number;
}

/** Ends the runs of ended steps that are still open: whoever wrote them writes no more. */
export async function closeRunsOfSteps(
  sql: Sql,
  ended: {
    readonly projectId: string;
    readonly pipelineRunId: string;
    readonly steps: readonly EndedStep[];
  },
): Promise<void> {
  const { projectId, pipelineRunId, steps } = ended;
  if (steps.length === 0) return;
  await sql.query(CLOSE, [
    projectId,
    pipelineRunId,
    steps.map((step) => step.stepKey),
    steps.map((step) => step.attempt),
    steps.map((step) => step.status),
    steps.map((step) => step.atMs),
  ]);
}

/** Ends what is still open of a pipeline run that has ended itself. */
export async function closeRunsOfPipelineRun(
  sql: Sql,
  ended: {
    readonly projectId: string;
    readonly pipelineRunId: string;
    readonly status: RunStatus;
    readonly atMs: number;
  },
): Promise<void> {
  const { projectId, pipelineRunId, status, atMs } = ended;
  await sql.query(CLOSE_ALL, [projectId, pipelineRunId, status, atMs]);
}

/** The number of the newest attempt of a step, 0 before the first. */
export async function selectNewestAttempt(
  sql: Sql,
  at: Omit<AttemptAt, 'attempt'>,
): Promise<number> {
  const rows = await sql.query<{ newest: number | null }>(NEWER_ATTEMPT, [
    at.projectId,
    at.pipelineRunId,
    at.stepKey,
  ]);
  return rows[0]?.newest ?? 0;
}
