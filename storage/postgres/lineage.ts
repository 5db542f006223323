import type { LineageNode } from '../../schemas/lineage';
import type { Sql } from './client';
import type { StepKey } from './steps';

export type Step = Omit<StepKey, 'projectId'>;
/** A model version, the artifact that holds its files, and the step whose tracked run it was taken of. */
export interface LineageModel {
  readonly model: string;
  readonly version: number;
  readonly artifactId: string | null;
  readonly runId: string | null;
  readonly stepKey: string | null;
}

const ARTIFACTS = `
SELECT 'artifact' AS kind, id, kind AS "artifactKind", size_bytes AS "sizeBytes"
FROM artifacts WHERE project_id = $1 AND id = ANY($2)`;
const STEPS = `
SELECT 'step' AS kind, s.run_id || '/' || s.key AS id, s.run_id AS "runId", s.key AS "stepKey",
  r.pipeline, r.code_digest AS "codeDigest", r.git ->> 'commit' AS "gitCommit",
  s.tracked_run_id AS "trackedRunId",
  to_char(s.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "endedAt"
FROM steps s JOIN pipeline_runs r ON r.id = s.run_id
WHERE s.project_id = $1 AND (s.run_id, s.key) IN (SELECT * FROM unnest($2::text[], $3::text[]))`;
const MODELS = `
SELECT 'model' AS kind, v.model || '/' || v.version AS id, v.model, v.version,
  (SELECT coalesce(jsonb_agg(a.alias ORDER BY a.alias), '[]') FROM model_aliases a
   WHERE a.project_id = v.project_id AND a.model = v.model AND a.version = v.version) AS aliases
FROM model_versions v
WHERE v.project_id = $1
  AND (v.model, v.version) IN (SELECT * FROM unnest($2::text[], $3::integer[]))`;
const STEPS_OF_RUN = `
SELECT run_id AS "runId", key AS "stepKey" FROM steps
WHERE project_id = $1 AND run_id = $2 AND status = 'succeeded'
ORDER BY index, key LIMIT $3`;
// an attempt that took a result that was there leads to the step that did the work
const WORKED = `
SELECT coalesce(reused_run_id, run_id) AS "runId", coalesce(reused_step_key, key) AS "stepKey"
FROM steps WHERE project_id = $1 AND run_id = $2 AND key = $3`;
const MODEL = `
SELECT v.model, v.version, v.artifact_id AS "artifactId", t.pipeline_run_id AS "runId",
  t.step_key AS "stepKey"
FROM model_versions v LEFT JOIN runs t ON t.project_id = v.project_id AND t.id = v.run_id
WHERE v.project_id = $1`;
const FIND_MODEL = `${MODEL} AND v.model = $2 AND v.version = $3`;
const MODELS_OF_ARTIFACTS = `${MODEL} AND v.artifact_id = ANY($2)
ORDER BY v.model, v.version DESC LIMIT $3`;
const MODELS_OF_STEPS = `${MODEL}
  AND (t.pipeline_run_id, t.step_key) IN (SELECT * FROM unnest($2::text[], $4::text[]))
ORDER BY v.model, v.version DESC LIMIT $3`;

type Find<T> = { readonly projectId: string } & T;

/** What is to be told of the nodes of a walk. */
export async function describeNodes(
  sql: Sql,
  nodes: Find<{
    readonly artifactIds: readonly string[];
    readonly steps: readonly Step[];
    readonly models: readonly { readonly model: string; readonly version: number }[];
  }>,
): Promise<LineageNode[]> {
  const { projectId, artifactIds, steps, models } = nodes;
  const runIds = steps.map(({ runId }) => runId);
  const keys = steps.map(({ stepKey }) => stepKey);
  const names = models.map(({ model }) => model);
  const versions = models.map(({ version }) => version);
  const found = await Promise.all([
    sql.query<LineageNode>(ARTIFACTS, [projectId, artifactIds]),
    sql.query<LineageNode>(STEPS, [projectId, runIds, keys]),
    sql.query<LineageNode>(MODELS, [projectId, names, versions]),
  ]);
  return found.flat();
}

/** The steps of a run that succeeded, in the order of its graph. */
export function stepsOfRun(
  sql: Sql,
  { projectId, runId, limit }: Find<{ readonly runId: string; readonly limit: number }>,
): Promise<Step[]> {
  return sql.query<Step>(STEPS_OF_RUN, [projectId, runId, limit]);
}

/** The step that did the work of this one, itself as a rule; undefined if there is no such step. */
export async function findWorker(sql: Sql, key: StepKey): Promise<Step | undefined> {
  const [row] = await sql.query<Step>(WORKED, [key.projectId, key.runId, key.stepKey]);
  return row;
}

export async function findLineageModel(
  sql: Sql,
  { projectId, model, version }: Find<{ readonly model: string; readonly version: number }>,
): Promise<LineageModel | undefined> {
  const [row] = await sql.query<LineageModel>(FIND_MODEL, [projectId, model, version]);
  return row;
}

/** The model versions that hold any of these artifacts. */
export function modelsOfArtifacts(
  sql: Sql,
  { projectId, ids, limit }: Find<{ readonly ids: readonly string[]; readonly limit: number }>,
): Promise<LineageModel[]> {
  return sql.query<LineageModel>(MODELS_OF_ARTIFACTS, [projectId, ids, limit]);
}

/** The model versions that were taken of the tracked run of any of these steps. */
export function modelsOfSteps(
  sql: Sql,
  { projectId, steps, limit }: Find<{ readonly steps: readonly Step[]; readonly limit: number }>,
): Promise<LineageModel[]> {
  const runIds = steps.map(({ runId }) => runId);
  const keys = steps.map(({ stepKey }) => stepKey);
  return sql.query<LineageModel>(MODELS_OF_STEPS, [projectId, runIds, limit, keys]);
}
