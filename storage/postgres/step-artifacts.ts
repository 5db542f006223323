import type { Sql } from './client';
import type { StepKey } from './steps';

export type ArtifactRole = 'input' | 'output';
/** An artifact under the name that an input or output of a step has. */
export interface NamedArtifact {
  readonly name: string;
  readonly artifactId: string;
}
/** A step's use of an artifact. */
export interface StepArtifact extends Omit<StepKey, 'projectId'>, NamedArtifact {
  readonly role: ArtifactRole;
}

const INSERT = `
INSERT INTO step_artifacts (project_id, run_id, step_key, role, name, artifact_id)
SELECT $1, $2, $3, $4, name, artifact_id FROM unnest($5::text[], $6::text[]) AS n (name, artifact_id)
ON CONFLICT DO NOTHING`;
// inputs of steps that did not succeed have led to nothing
const COLUMNS = `
SELECT a.run_id AS "runId", a.step_key AS "stepKey", a.role, a.name, a.artifact_id AS "artifactId"
FROM step_artifacts a JOIN steps s ON s.run_id = a.run_id AND s.key = a.step_key
WHERE a.project_id = $1 AND a.role = $2 AND s.status = 'succeeded'`;
const BY_ARTIFACT = `${COLUMNS} AND a.artifact_id = ANY($3)
ORDER BY s.ended_at DESC, a.run_id, a.step_key, a.name LIMIT $4`;
const BY_STEP = `${COLUMNS}
  AND (a.run_id, a.step_key) IN (SELECT * FROM unnest($3::text[], $5::text[]))
ORDER BY a.run_id, a.step_key, a.name LIMIT $4`;

/** Keeps which artifacts a step was given or has made; the same again changes nothing. */
export async function insertStepArtifacts(
  sql: Sql,
  made: StepKey & { readonly role: ArtifactRole; readonly artifacts: readonly NamedArtifact[] },
): Promise<void> {
  const { projectId, runId, stepKey, role, artifacts } = made;
  if (artifacts.length === 0) return;
  const names = artifacts.map(({ name }) => name);
  const ids = artifacts.map(({ artifactId }) => artifactId);
  await sql.query(INSERT, [projectId, runId, stepKey, role, names, ids]);
}

interface Find {
  readonly projectId: string;
  readonly role: ArtifactRole;
  readonly limit: number;
}

/** The steps that made (`output`) or were given (`input`) any of these artifacts, the newest first. */
export function stepsOfArtifacts(
  sql: Sql,
  { projectId, role, limit, ids }: Find & { readonly ids: readonly string[] },
): Promise<StepArtifact[]> {
  return sql.query<StepArtifact>(BY_ARTIFACT, [projectId, role, ids, limit]);
}

/** The artifacts that any of these steps made or were given. */
export function artifactsOfSteps(
  sql: Sql,
  {
    projectId,
    role,
    limit,
    steps,
  }: Find & { readonly steps: readonly Omit<StepKey, 'projectId'>[] },
): Promise<StepArtifact[]> {
  const runIds = steps.map(({ runId }) => runId);
  const keys = steps.map(({ stepKey }) => stepKey);
  return sql.query<StepArtifact>(BY_STEP, [projectId, role, runIds, limit, keys]);
}
