import type { ModelTag, RegisteredModel } from '../../schemas/registered-models';
import { INSERT_AUDIT } from './audit';
import type { Sql } from './client';

export interface ModelKey {
  readonly projectId: string;
  readonly name: string;
}
export interface InsertRegisteredModel extends ModelKey {
  readonly description: string;
  readonly tags: readonly ModelTag[]; // unique keys
  readonly actor: string;
}

const COLUMNS = `
m.name, m.description, m.created_at, m.updated_at,
CASE WHEN m.next_version > 1 THEN m.next_version - 1 END AS newest_version,
(SELECT coalesce(jsonb_agg(jsonb_build_object('key', t.key, 'value', t.value) ORDER BY t.key), '[]')
 FROM registered_model_tags t
 WHERE t.project_id = m.project_id AND t.model = m.name) AS tags,
(SELECT coalesce(
   jsonb_agg(jsonb_build_object('alias', a.alias, 'version', a.version) ORDER BY a.alias), '[]')
 FROM model_aliases a
 WHERE a.project_id = m.project_id AND a.model = m.name AND a.version IS NOT NULL) AS aliases`;
const FIND = `SELECT ${COLUMNS} FROM registered_models m WHERE m.project_id = $1 AND m.name = $2`;
const LIST = `
SELECT ${COLUMNS} FROM registered_models m
WHERE m.project_id = $1 AND ($2::text IS NULL OR m.name > $2) AND ($3::text IS NULL OR m.name = $3)
  AND NOT EXISTS (
    SELECT FROM registered_model_tags t
    WHERE t.project_id = m.project_id AND t.model = m.name AND t.key = $4 AND t.value = $5)
ORDER BY m.name
LIMIT $6`;
const INSERT = `
WITH inserted AS (
  INSERT INTO registered_models (project_id, name, description)
  VALUES ($1, $2, $3)
  ON CONFLICT (project_id, name) DO NOTHING
  RETURNING name
), tagged AS (
  INSERT INTO registered_model_tags (project_id, model, key, value)
  SELECT $1, inserted.name, t.key, t.value
  FROM inserted, unnest($4::text[], $5::text[]) AS t (key, value)
), audited AS (
  ${INSERT_AUDIT}
  SELECT $1, $6, 'model.created', 'model/' || name, '{}' FROM inserted
)
SELECT name FROM inserted`;
const UPDATE = `
UPDATE registered_models SET description = $3, updated_at = now()
WHERE project_id = $1 AND name = $2`;
const SET_TAG = `
INSERT INTO registered_model_tags (project_id, model, key, value)
SELECT project_id, name, $3, $4 FROM registered_models WHERE project_id = $1 AND name = $2
ON CONFLICT (project_id, model, key) DO UPDATE SET value = excluded.value`;
const DELETE_TAG = `
DELETE FROM registered_model_tags WHERE project_id = $1 AND model = $2 AND key = $3`;

/** Creates a model with its tags; false if there is one of this name. */
export async function insertRegisteredModel(
  sql: Sql,
  model: InsertRegisteredModel,
): Promise<boolean> {
  const rows = await sql.query(INSERT, [
    model.projectId,
    model.name,
    model.description,
    model.tags.map((tag) => tag.key),
    model.tags.map((tag) => tag.value),
    model.actor,
  ]);
  return rows.length === 1;
}

export async function findRegisteredModel(
  sql: Sql,
  key: ModelKey,
): Promise<RegisteredModel | undefined> {
  const [row] = await sql.query<ModelRow>(FIND, [key.projectId, key.name]);
  return row === undefined ? undefined : modelFrom(row);
}

/** Models by name: those behind `afterName`, of one name (or of all), without a certain tag. */
export async function listRegisteredModels(
  sql: Sql,
  page: {
    readonly projectId: string;
    readonly afterName: string | undefined;
    readonly name: string | undefined;
    readonly withoutTag: ModelTag | undefined;
    readonly limit: number;
  },
): Promise<RegisteredModel[]> {
  const { projectId, afterName = null, name = null, withoutTag, limit } = page;
  const tag = [withoutTag?.key ?? null, withoutTag?.value ?? null];
  const values = [projectId, afterName, name, ...tag, limit];
  return (await sql.query<ModelRow>(LIST, values)).map(modelFrom);
}

/** Nothing if there is no such model; so do the two below. */
export async function updateRegisteredModel(
  sql: Sql,
  change: ModelKey & { readonly description: string },
): Promise<void> {
  const values = [change.projectId, change.name, change.description];
  await sql.query(UPDATE, values);
}

export async function setRegisteredModelTag(sql: Sql, tag: ModelKey & ModelTag): Promise<void> {
  const values = [tag.projectId, tag.name, tag.key, tag.value];
  await sql.query(SET_TAG, values);
}

/** Removes a tag; nothing if it is not there. */
export async function deleteRegisteredModelTag(
  sql: Sql,
  tag: ModelKey & { readonly key: string },
): Promise<void> {
  await sql.query(DELETE_TAG, [tag.projectId, tag.name, tag.key]);
}

interface ModelRow {
  readonly name: string;
  readonly description: string;
  readonly newest_version: number | null;
  readonly tags: ModelTag[];
  readonly aliases: { readonly alias: string; readonly version: number }[];
  readonly created_at: Date;
  readonly updated_at: Date;
}

function modelFrom(row: ModelRow): RegisteredModel {
  return {
    name: row.name,
    description: row.description,
    newestVersion: row.newest_version,
    tags: row.tags,
    aliases: [...row.aliases],
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}
