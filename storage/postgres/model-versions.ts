import type { ModelVersion } from '../../schemas/model-versions';
import type { ModelTag } from '../../schemas/registered-models';
import { INSERT_AUDIT } from './audit';
import type { Sql } from './client';
import { INSERT_OUTBOX } from './outbox';

export interface VersionKey {
  readonly projectId: string;
  readonly model: string;
  readonly version: number;
}
export interface InsertModelVersion {
  readonly projectId: string;
  readonly model: string;
  readonly source: string;
  readonly runId: string | undefined;
  readonly artifactId: string;
  readonly description: string;
  readonly tags: readonly ModelTag[]; // unique keys
  readonly actor: string;
  readonly idempotencyKey: string | undefined;
}

const COLUMNS = `
v.model, v.version, v.source, v.run_id, v.artifact_id, v.description, v.created_at, v.updated_at,
(SELECT coalesce(jsonb_agg(jsonb_build_object('key', t.key, 'value', t.value) ORDER BY t.key), '[]')
 FROM model_version_tags t
 WHERE t.project_id = v.project_id AND t.model = v.model AND t.version = v.version) AS tags,
(SELECT coalesce(jsonb_agg(a.alias ORDER BY a.alias), '[]')
 FROM model_aliases a
 WHERE a.project_id = v.project_id AND a.model = v.model AND a.version = v.version) AS aliases`;
const FIND = `
SELECT ${COLUMNS} FROM model_versions v
WHERE v.project_id = $1 AND v.model = $2 AND v.version = $3`;
const FIND_BY_KEY = `
SELECT ${COLUMNS} FROM model_versions v
WHERE v.project_id = $1 AND v.model = $2 AND v.idempotency_key = $3`;
const LIST = `
SELECT ${COLUMNS} FROM model_versions v
WHERE v.project_id = $1 AND ($2::text IS NULL OR v.model = $2)
  AND ($3::text IS NULL OR v.model > $3 OR (v.model = $3 AND v.version < $4))
  AND ($5::text IS NULL OR v.run_id = $5)
ORDER BY v.model, v.version DESC
LIMIT $6`;
const LIST_NEWEST = `
SELECT ${COLUMNS} FROM model_versions v
JOIN registered_models m ON m.project_id = v.project_id AND m.name = v.model
WHERE v.project_id = $1 AND v.model = ANY ($2::text[]) AND v.version = m.next_version - 1`;
// the counter row is locked until the version is in, so numbers have no gaps and no ties
const INSERT = `
WITH counter AS (
  UPDATE registered_models SET next_version = next_version + 1, updated_at = now()
  WHERE project_id = $1 AND name = $2
  RETURNING next_version - 1 AS version
), inserted AS (
  INSERT INTO model_versions
    (project_id, model, version, source, run_id, artifact_id, description, idempotency_key)
  SELECT $1, $2, version, $3, $4, $5, $6, $7 FROM counter
  RETURNING version
), tagged AS (
  INSERT INTO model_version_tags (project_id, model, version, key, value)
  SELECT $1, $2, inserted.version, t.key, t.value
  FROM inserted, unnest($8::text[], $9::text[]) AS t (key, value)
), audited AS (
  ${INSERT_AUDIT}
  SELECT $1, $10, 'model_version.created', 'model/' || $2::text,
    jsonb_build_object('version', version, 'source', $3::text)
  FROM inserted
), announced AS (
  ${INSERT_OUTBOX}
  SELECT $1, 'model_version.created', jsonb_build_object('model', $2::text, 'version', version,
    'actor', $10::text, 'trackedRunId', $4::text)
  FROM inserted
)
SELECT version FROM inserted`;
const UPDATE = `
UPDATE model_versions SET description = $4, updated_at = now()
WHERE project_id = $1 AND model = $2 AND version = $3`;
const SET_TAG = `
INSERT INTO model_version_tags (project_id, model, version, key, value)
SELECT project_id, model, version, $4, $5 FROM model_versions
WHERE project_id = $1 AND model = $2 AND version = $3
ON CONFLICT (project_id, model, version, key) DO UPDATE SET value = excluded.value`;
const DELETE_TAG = `
DELETE FROM model_version_tags
WHERE project_id = $1 AND model = $2 AND version = $3 AND key = $4`;

/**
 * Adds a version under the next number; undefined if there is no such model. A repeated
 * idempotency key violates the table's unique constraint and takes no number.
 */
export async function insertModelVersion(
  sql: Sql,
  version: InsertModelVersion,
): Promise<number | undefined> {
  const [row] = await sql.query<{ version: number }>(INSERT, [
    version.projectId,
    version.model,
    version.source,
    version.runId ?? null,
    version.artifactId,
    version.description,
    version.idempotencyKey ?? null,
    version.tags.map((tag) => tag.key),
    version.tags.map((tag) => tag.value),
    version.actor,
  ]);
  return row?.version;
}

export async function findModelVersion(
  sql: Sql,
  key: VersionKey,
): Promise<ModelVersion | undefined> {
  const [row] = await sql.query<VersionRow>(FIND, [key.projectId, key.model, key.version]);
  return row === undefined ? undefined : versionFrom(row);
}

/** The version that was registered with this idempotency key. */
export async function findModelVersionByKey(
  sql: Sql,
  wanted: { readonly projectId: string; readonly model: string; readonly idempotencyKey: string },
): Promise<ModelVersion | undefined> {
  const values = [wanted.projectId, wanted.model, wanted.idempotencyKey];
  const [row] = await sql.query<VersionRow>(FIND_BY_KEY, values);
  return row === undefined ? undefined : versionFrom(row);
}

/** The newest version of each of these models that has one. */
export async function listNewestVersions(
  sql: Sql,
  wanted: { readonly projectId: string; readonly models: readonly string[] },
): Promise<ModelVersion[]> {
  const rows = await sql.query<VersionRow>(LIST_NEWEST, [wanted.projectId, wanted.models]);
  return rows.map(versionFrom);
}

/** Versions of one model (or of all), of one run (or of all), by model, newest first; those behind `after` only. */
export async function listModelVersions(
  sql: Sql,
  page: {
    readonly projectId: string;
    readonly model: string | undefined;
    readonly runId: string | undefined;
    readonly after: { readonly model: string; readonly version: number } | undefined;
    readonly limit: number;
  },
): Promise<ModelVersion[]> {
  const { after } = page;
  const place = [after?.model ?? null, after?.version ?? null];
  const values = [page.projectId, page.model ?? null, ...place, page.runId ?? null, page.limit];
  return (await sql.query<VersionRow>(LIST, values)).map(versionFrom);
}

/** Nothing if there is no such version; so do the two below. */
export async function updateModelVersion(
  sql: Sql,
  change: VersionKey & { readonly description: string },
): Promise<void> {
  const values = [change.projectId, change.model, change.version, change.description];
  await sql.query(UPDATE, values);
}

export async function setModelVersionTag(sql: Sql, tag: VersionKey & ModelTag): Promise<void> {
  const values = [tag.projectId, tag.model, tag.version, tag.key, tag.value];
  await sql.query(SET_TAG, values);
}

/** Removes a tag; nothing if it is not there. */
export async function deleteModelVersionTag(
  sql: Sql,
  tag: VersionKey & { readonly key: string },
): Promise<void> {
  await sql.query(DELETE_TAG, [tag.projectId, tag.model, tag.version, tag.key]);
}

interface VersionRow {
  readonly model: string;
  readonly version: number;
  readonly source: string;
  readonly run_id: string | null;
  readonly artifact_id: string | null;
  readonly description: string;
  readonly tags: ModelTag[];
  readonly aliases: string[];
  readonly created_at: Date;
  readonly updated_at: Date;
}

function versionFrom(row: VersionRow): ModelVersion {
  return {
    model: row.model,
    version: row.version,
    source: row.source,
    runId: row.run_id,
    artifactId: row.artifact_id,
    description: row.description,
    tags: row.tags,
    aliases: row.aliases,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}
