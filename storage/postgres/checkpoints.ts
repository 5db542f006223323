import type { AttemptKey } from './attempts';
import type { Sql } from './client';
import type { StepKey } from './steps';

/** A committed checkpoint: its files are an artifact. */
export interface Checkpoint {
  readonly id: number;
  readonly stepKey: string;
  readonly attempt: number;
  readonly name: string;
  readonly artifactId: string;
  readonly sizeBytes: number;
  readonly createdAt: string;
}

const COLUMNS = `
  id, step_key AS "stepKey", attempt, name, artifact_id AS "artifactId", size_bytes AS "sizeBytes",
  to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "createdAt"`;
// other bytes under the same name ("last") are a newer checkpoint, the same bytes are a repetition
const INSERT = `
INSERT INTO checkpoints (project_id, run_id, step_key, attempt, name, artifact_id, size_bytes)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (run_id, step_key, attempt, name) DO UPDATE SET
  id = DEFAULT, artifact_id = excluded.artifact_id, size_bytes = excluded.size_bytes,
  created_at = now()
WHERE checkpoints.artifact_id <> excluded.artifact_id`;
// only behind a newer one: the newest rows are never touched
const PRUNE = `
DELETE FROM checkpoints WHERE project_id = $1 AND run_id = $2 AND step_key = $3 AND id NOT IN (
  SELECT id FROM checkpoints WHERE project_id = $1 AND run_id = $2 AND step_key = $3
  ORDER BY id DESC LIMIT $4)`;
const NEWEST = `
SELECT ${COLUMNS} FROM checkpoints WHERE project_id = $1 AND run_id = $2 AND step_key = $3
  AND artifact_id <> ALL ($4::text[])
ORDER BY id DESC LIMIT 1`;
const LIST = `
SELECT ${COLUMNS} FROM checkpoints WHERE project_id = $1 AND run_id = $2 ORDER BY id`;

export async function insertCheckpoint(
  sql: Sql,
  checkpoint: AttemptKey & Pick<Checkpoint, 'name' | 'artifactId' | 'sizeBytes'>,
): Promise<void> {
  const { projectId, runId, stepKey, attempt, name, artifactId, sizeBytes } = checkpoint;
  await sql.query(INSERT, [projectId, runId, stepKey, attempt, name, artifactId, sizeBytes]);
}

/** Forgets all but the newest `keep` checkpoints of a step. */
export async function pruneCheckpoints(
  sql: Sql,
  step: StepKey & { readonly keep: number },
): Promise<void> {
  await sql.query(PRUNE, [step.projectId, step.runId, step.stepKey, step.keep]);
}

/** The newest checkpoint of a step, or of those besides the artifacts named in `except`. */
export async function selectNewestCheckpoint(
  sql: Sql,
  step: StepKey & { readonly except?: readonly string[] },
): Promise<Checkpoint | undefined> {
  const { projectId, runId, stepKey, except = [] } = step;
  return (await sql.query<Checkpoint>(NEWEST, [projectId, runId, stepKey, except]))[0];
}

/** All checkpoints of a run, oldest first. */
export function listCheckpoints(
  sql: Sql,
  run: { readonly projectId: string; readonly runId: string },
): Promise<Checkpoint[]> {
  return sql.query<Checkpoint>(LIST, [run.projectId, run.runId]);
}
