import type { Attempt, AttemptEnvironment, Progress } from '../../schemas/pipeline-runs';
import type { Sql } from './client';
import type { StepKey } from './steps';

export interface AttemptKey extends StepKey {
  readonly attempt: number;
}

const INSERT = `
INSERT INTO attempts (project_id, run_id, step_key, attempt, node, status, resumed_from)
VALUES ($1, $2, $3, $4, $5, 'running', $6)
ON CONFLICT (run_id, step_key, attempt) DO NOTHING
RETURNING attempt`;
const LOSE_OLDER = `
UPDATE attempts SET status = 'lost', ended_at = now(), reason = 'replaced by attempt ' || $4
WHERE project_id = $1 AND run_id = $2 AND step_key = $3 AND attempt < $4 AND status = 'running'`;
const END = `
UPDATE attempts SET status = $5, failure_class = $6, reason = $7, exit_code = $8, ended_at = now()
WHERE project_id = $1 AND run_id = $2 AND step_key = $3 AND attempt = $4 AND status = 'running'`;
const LOSE_OPEN = `
UPDATE attempts SET status = 'lost', ended_at = now(), reason = $3
WHERE project_id = $1 AND run_id = $2 AND status = 'running'`;
const RESUMED_FROM = `
UPDATE attempts SET resumed_from = $5
WHERE project_id = $1 AND run_id = $2 AND step_key = $3 AND attempt = $4`;
const SET_PROGRESS = `
UPDATE attempts SET progress = $5
WHERE project_id = $1 AND run_id = $2 AND step_key = $3 AND attempt = $4`;
// changes with every point that is newer than the others of its series
const METRICS_STAMP = `
SELECT concat_ws('/', count(*), sum(m.step), sum(m.timestamp_ms), sum(m.value)) AS stamp
FROM runs r JOIN run_metrics_latest m ON m.run_id = r.id
WHERE r.project_id = $1 AND r.pipeline_run_id = $2 AND r.step_key = $3`;
const SET_ENVIRONMENT = `
UPDATE attempts SET environment = $5
WHERE project_id = $1 AND run_id = $2 AND step_key = $3 AND attempt = $4`;
const LIST = `
SELECT step_key, attempt, node, status, failure_class, reason, exit_code, resumed_from, progress, environment,
  started_at, ended_at
FROM attempts WHERE project_id = $1 AND run_id = $2
ORDER BY started_at, step_key, attempt`;

/** Begins an attempt; false if it was begun before. */
export async function insertAttempt(
  sql: Sql,
  attempt: AttemptKey & { readonly node: string; readonly resumedFrom: string | null },
): Promise<boolean> {
  const { projectId, runId, stepKey, node, resumedFrom } = attempt;
  const values = [projectId, runId, stepKey, attempt.attempt, node, resumedFrom];
  return (await sql.query(INSERT, values)).length > 0;
}

/** Older attempts that nobody ended are lost. */
export async function loseOlderAttempts(sql: Sql, key: AttemptKey): Promise<void> {
  await sql.query(LOSE_OLDER, [key.projectId, key.runId, key.stepKey, key.attempt]);
}

/** Attempts of a run that nobody will end any more are lost. */
export async function loseOpenAttempts(
  sql: Sql,
  lose: { readonly projectId: string; readonly runId: string; readonly reason: string },
): Promise<void> {
  await sql.query(LOSE_OPEN, [lose.projectId, lose.runId, lose.reason]);
}

/** Says which checkpoint an attempt goes on from after all. */
export async function setResumedFrom(
  sql: Sql,
  attempt: AttemptKey & { readonly resumedFrom: string | null },
): Promise<void> {
  const { projectId, runId, stepKey, resumedFrom } = attempt;
  await sql.query(RESUMED_FROM, [projectId, runId, stepKey, attempt.attempt, resumedFrom]);
}

/** Replaces what an attempt has said of itself; its last word may come after its end. */
export async function setProgress(
  sql: Sql,
  attempt: AttemptKey & { readonly progress: Progress },
): Promise<void> {
  const { projectId, runId, stepKey, progress } = attempt;
  const values = [projectId, runId, stepKey, attempt.attempt, JSON.stringify(progress)];
  await sql.query(SET_PROGRESS, values);
}

/** Keeps what an attempt runs in. */
export async function setEnvironment(
  sql: Sql,
  attempt: AttemptKey & { readonly environment: AttemptEnvironment },
): Promise<void> {
  const { projectId, runId, stepKey, environment } = attempt;
  const values = [projectId, runId, stepKey, attempt.attempt, JSON.stringify(environment)];
  await sql.query(SET_ENVIRONMENT, values);
}

/** Ends a running attempt; nothing if it has ended. */
export async function endAttempt(
  sql: Sql,
  end: AttemptKey & {
    readonly status: 'succeeded' | 'failed';
    readonly failureClass?: string;
    readonly reason?: string;
    readonly exitCode?: number | null;
  },
): Promise<void> {
  const { projectId, runId, stepKey, attempt, status } = end;
  const details = [end.failureClass ?? null, end.reason ?? null, end.exitCode ?? null];
  await sql.query(END, [projectId, runId, stepKey, attempt, status, ...details]);
}

/** A text that changes when the tracked runs of a step get newer metrics. */
export async function findMetricsStamp(sql: Sql, key: StepKey): Promise<string> {
  const values = [key.projectId, key.runId, key.stepKey];
  const [row] = await sql.query<{ readonly stamp: string }>(METRICS_STAMP, values);
  return row?.stamp ?? '';
}

/** All attempts of a run, in order of their beginning. */
export async function listAttempts(
  sql: Sql,
  run: { readonly projectId: string; readonly runId: string },
): Promise<Attempt[]> {
  interface Row {
    readonly step_key: string;
    readonly attempt: number;
    readonly node: string;
    readonly status: Attempt['status'];
    readonly failure_class: string | null;
    readonly reason: string | null;
    readonly exit_code: number | null;
    readonly resumed_from: string | null;
    readonly progress: Progress | null;
    readonly environment: AttemptEnvironment | null;
    readonly started_at: Date;
    readonly ended_at: Date | null;
  }
  const rows = await sql.query<Row>(LIST, [run.projectId, run.runId]);
  return rows.map((row) => ({
    stepKey: row.step_key,
    attempt: row.attempt,
    node: row.node,
    status: row.status,
    failureClass: row.failure_class,
    reason: row.reason,
    exitCode: row.exit_code,
    resumedFrom: row.resumed_from,
    progress: row.progress,
    environment: row.environment,
    startedAt: row.started_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
  }));
}
