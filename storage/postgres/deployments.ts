import type { Git } from '../../schemas/git';
import type { PipelineRunStatus } from '../../schemas/pipeline-runs';
import type { DeployedPipeline, Deployment } from '../../schemas/deployments';
import type { Params } from '../../schemas/plan';
import type { Triggers } from '../../schemas/triggers';
import { INSERT_AUDIT } from './audit';
import type { Sql } from './client';

export interface DeploymentKey {
  readonly projectId: string;
  readonly name: string;
}
export type InsertDeployment = DeploymentKey &
  Pick<Deployment, 'pipeline' | 'planId' | 'params' | 'triggers' | 'deployedBy'> & {
    readonly codeDigest: string | undefined;
    readonly git: Git | undefined;
  };

const COLUMNS = `
d.name, d.version, d.plan_id, d.pipeline, d.params, d.code_digest, d.git, d.triggers, d.deployed_by,
  d.deployed_at`;
const CURRENT = `
deployed_pipelines p
JOIN deployments d ON d.project_id = p.project_id AND d.name = p.name AND d.version = p.version`;
// numbers go on after a pipeline was deleted, so that no two versions ever share one
const INSERT = `
WITH inserted AS (
  INSERT INTO deployments AS d
    (project_id, name, version, plan_id, pipeline, params, code_digest, git, triggers, deployed_by)
  SELECT $1, $2, coalesce(max(version), 0) + 1, $3, $4, $5, $6, $7, $8, $9
  FROM deployments WHERE project_id = $1 AND name = $2
  RETURNING ${COLUMNS}
), audited AS (
  ${INSERT_AUDIT}
  SELECT $1, $9, 'pipeline.deployed', 'pipeline/' || $2::text, jsonb_build_object('version', version)
  FROM inserted
)
SELECT * FROM inserted`;
const POINT = `
INSERT INTO deployed_pipelines (project_id, name, version) VALUES ($1, $2, $3)
ON CONFLICT (project_id, name) DO UPDATE
SET version = excluded.version, last_error = NULL, last_error_at = NULL`;
const FAIL = `
UPDATE deployed_pipelines SET last_error = $3, last_error_at = now()
WHERE project_id = $1 AND name = $2`;
const FIND = `SELECT ${COLUMNS} FROM ${CURRENT} WHERE p.project_id = $1 AND p.name = $2`;
const LIST = `
SELECT ${COLUMNS}, p.last_error, p.last_error_at,
  r.id AS run_id, r.status AS run_status, r.created_at AS run_created_at
FROM ${CURRENT}
LEFT JOIN LATERAL (
  SELECT id, status, created_at FROM pipeline_runs
  WHERE project_id = p.project_id AND trigger -> 'deployment' ->> 'name' = p.name
    AND trigger -> 'deployment' IS NOT NULL
  ORDER BY created_at DESC LIMIT 1
) r ON true
WHERE p.project_id = $1 AND p.name > $2 AND ($3::text IS NULL OR p.name = $3)
ORDER BY p.name LIMIT $4`;
const HISTORY = `
SELECT ${COLUMNS} FROM deployments d
WHERE d.project_id = $1 AND d.name = $2 ORDER BY d.version DESC LIMIT $3`;
const AUDIT = `${INSERT_AUDIT} VALUES ($1, $3, 'pipeline.' || $4, 'pipeline/' || $2, $5)`;
const DELETE = `
WITH deleted AS (
  DELETE FROM deployed_pipelines WHERE project_id = $1 AND name = $2 RETURNING version
)
${INSERT_AUDIT}
SELECT $1, $3, 'pipeline.deleted', 'pipeline/' || $2::text, jsonb_build_object('version', version)
FROM deleted`;

/** Keeps who did what to a deployed pipeline. */
export async function auditDeployment(
  sql: Sql,
  audit: DeploymentKey & {
    readonly actor: string;
    readonly action: string;
    readonly detail: Readonly<Record<string, unknown>>;
  },
): Promise<void> {
  const { projectId, name, actor, action, detail } = audit;
  await sql.query(AUDIT, [projectId, name, actor, action, JSON.stringify(detail)]);
}

/** Stores a deployment under the next number, and makes it the one that holds. */
export async function insertDeployment(
  sql: Sql,
  deployment: InsertDeployment,
): Promise<Deployment | undefined> {
  const { projectId, name, planId, pipeline, params, codeDigest, git, triggers } = deployment;
  const [row] = await sql.query<Row>(INSERT, [
    ...[projectId, name, planId, pipeline, JSON.stringify(params), codeDigest ?? null],
    git === undefined ? null : JSON.stringify(git),
    JSON.stringify(triggers),
    deployment.deployedBy,
  ]);
  if (row === undefined) return undefined;
  await sql.query(POINT, [projectId, name, row.version]);
  return toDeployment(row);
}

/** The version that holds now; undefined if the pipeline is not deployed. */
export async function findDeployment(
  sql: Sql,
  key: DeploymentKey,
): Promise<Deployment | undefined> {
  const [row] = await sql.query<Row>(FIND, [key.projectId, key.name]);
  return row === undefined ? undefined : toDeployment(row);
}

/** Deployed pipelines by name, behind the name `after`, or the one of this name. */
export async function listDeployedPipelines(
  sql: Sql,
  list: {
    readonly projectId: string;
    readonly after?: string;
    readonly name?: string;
    readonly limit: number;
  },
): Promise<DeployedPipeline[]> {
  const values = [list.projectId, list.after ?? '', list.name ?? null, list.limit];
  return (await sql.query<RowWithRun>(LIST, values)).map((row) => ({
    ...toDeployment(row),
    lastError:
      row.last_error === null || row.last_error_at === null
        ? null
        : { message: row.last_error, at: row.last_error_at.toISOString() },
    lastRun:
      row.run_id === null || row.run_status === null || row.run_created_at === null
        ? null
        : { id: row.run_id, status: row.run_status, createdAt: row.run_created_at.toISOString() },
  }));
}

/** The versions of a pipeline, newest first, also of one that was deleted. */
export async function listDeployments(
  sql: Sql,
  list: DeploymentKey & { readonly limit: number },
): Promise<Deployment[]> {
  const rows = await sql.query<Row>(HISTORY, [list.projectId, list.name, list.limit]);
  return rows.map(toDeployment);
}

/** Keeps why an event did not start a run of a deployed pipeline. */
export async function failDeployment(
  sql: Sql,
  failed: DeploymentKey & { readonly message: string },
): Promise<void> {
  await sql.query(FAIL, [failed.projectId, failed.name, failed.message]);
}

/** Ends a deployment; its versions and runs stay. */
export async function deleteDeployment(
  sql: Sql,
  { projectId, name, actor }: DeploymentKey & { readonly actor: string },
): Promise<void> {
  await sql.query(DELETE, [projectId, name, actor]);
}

interface Row {
  readonly name: string;
  readonly version: number;
  readonly plan_id: string;
  readonly pipeline: string;
  readonly params: Params;
  readonly code_digest: string | null;
  readonly git: Git | null;
  readonly triggers: Triggers;
  readonly deployed_by: string;
  readonly deployed_at: Date;
}
interface RowWithRun extends Row {
  readonly last_error: string | null;
  readonly last_error_at: Date | null;
  readonly run_id: string | null;
  readonly run_status: PipelineRunStatus | null;
  readonly run_created_at: Date | null;
}

function toDeployment(row: Row): Deployment {
  return {
    name: row.name,
    version: row.version,
    pipeline: row.pipeline,
    planId: row.plan_id,
    params: row.params,
    codeDigest: row.code_digest,
    git: row.git,
    triggers: row.triggers,
    deployedBy: row.deployed_by,
    deployedAt: row.deployed_at.toISOString(),
  };
}
