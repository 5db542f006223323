import type { Experiment, KeyValue, LifecycleStage } from '../../schemas/experiments';
import { errorCode } from './client';
import type { Sql } from './client';

const COLUMNS = `
  id, name, artifact_location AS "artifactLocation", lifecycle_stage AS "lifecycleStage",
  (extract(epoch FROM created_at) * 1000)::bigint AS "createdMs",
  (extract(epoch FROM updated_at) * 1000)::bigint AS "updatedMs"`;
const INSERT = `
  WITH next AS (SELECT nextval('experiment_ids') AS id)
  INSERT INTO experiments (project_id, id, name, artifact_location)
  SELECT $1, id, $2, 'mlflow-artifacts:/' || id FROM next
  ON CONFLICT (project_id, name) DO NOTHING
  RETURNING ${COLUMNS}`;
const SELECT = `SELECT ${COLUMNS} FROM experiments WHERE project_id = $1 AND id = $2`;
const SELECT_BY_NAME = `SELECT ${COLUMNS} FROM experiments WHERE project_id = $1 AND name = $2`;
// newest first, id as the tie-break; $3/$4 are the last row of the page before
const SELECT_PAGE = `
  SELECT ${COLUMNS} FROM experiments
  WHERE project_id = $1 AND lifecycle_stage = ANY($2)
    AND ($3::bigint IS NULL
      OR ((extract(epoch FROM created_at) * 1000)::bigint, -id) < ($3::bigint, -$4::bigint))
  ORDER BY (extract(epoch FROM created_at) * 1000)::bigint DESC, id ASC LIMIT $5`;
const RENAME = `
  UPDATE experiments SET name = $3, updated_at = now() WHERE project_id = $1 AND id = $2`;
const SET_STAGE = `
  UPDATE experiments SET lifecycle_stage = $3, updated_at = now()
  WHERE project_id = $1 AND id = $2 AND lifecycle_stage <> $3 RETURNING id`;
const SET_STAGE_OF_RUNS = `
  UPDATE runs SET lifecycle_stage = $3 WHERE project_id = $1 AND experiment_id = $2`;
const SELECT_TAGS = `
  SELECT experiment_id AS "experimentId", key, value FROM experiment_tags
  WHERE project_id = $1 AND experiment_id = ANY($2) ORDER BY key`;
const UPSERT_TAG = `
  INSERT INTO experiment_tags (project_id, experiment_id, key, value) VALUES ($1, $2, $3, $4)
  ON CONFLICT (experiment_id, key) DO UPDATE SET value = excluded.value`;
const DELETE_TAG = `
  DELETE FROM experiment_tags WHERE project_id = $1 AND experiment_id = $2 AND key = $3
  RETURNING key`;

/** SQLSTATE of a row that exists already. */
const UNIQUE_VIOLATION = '23505';

interface At {
  readonly projectId: string;
  readonly id: number;
}

/** Makes an experiment; undefined if the name is taken. */
export async function insertExperiment(
  sql: Sql,
  { projectId, name }: { readonly projectId: string; readonly name: string },
): Promise<Experiment | undefined> {
  return (await sql.query<Experiment>(INSERT, [projectId, name]))[0];
}

export async function selectExperiment(sql: Sql, at: At): Promise<Experiment | undefined> {
  return (await sql.query<Experiment>(SELECT, [at.projectId, at.id]))[0];
}

export async function selectExperimentByName(
  sql: Sql,
  { projectId, name }: { readonly projectId: string; readonly name: string },
): Promise<Experiment | undefined> {
  return (await sql.query<Experiment>(SELECT_BY_NAME, [projectId, name]))[0];
}

/** A page of experiments, newest first. */
export function selectExperiments(
  sql: Sql,
  page: {
    readonly projectId: string;
    readonly stages: readonly LifecycleStage[];
    readonly after?: { readonly createdMs: number; readonly id: number } | undefined;
    readonly limit: number;
  },
): Promise<Experiment[]> {
  const { projectId, stages, after, limit } = page;
  const values = [projectId, stages, after?.createdMs ?? null, after?.id ?? null, limit];
  return sql.query<Experiment>(SELECT_PAGE, values);
}

/** Gives an experiment another name; false if the name is taken. Not inside a transaction. */
export async function renameExperiment(
  sql: Sql,
  at: At & { readonly name: string },
): Promise<boolean> {
  try {
    await sql.query(RENAME, [at.projectId, at.id, at.name]);
    return true;
  } catch (error) {
    if (errorCode(error) === UNIQUE_VIOLATION) return false;
    throw error;
  }
}

/** Moves an experiment and all of its runs to a stage; false if it was there already. */
export async function setExperimentStage(
  sql: Sql,
  at: At & { readonly stage: LifecycleStage },
): Promise<boolean> {
  const changed = await sql.query(SET_STAGE, [at.projectId, at.id, at.stage]);
  if (changed.length === 0) return false;
  await sql.query(SET_STAGE_OF_RUNS, [at.projectId, at.id, at.stage]);
  return true;
}

export function selectExperimentTags(
  sql: Sql,
  { projectId, ids }: { readonly projectId: string; readonly ids: readonly number[] },
): Promise<(KeyValue & { readonly experimentId: number })[]> {
  return sql.query(SELECT_TAGS, [projectId, ids]);
}

export async function upsertExperimentTag(sql: Sql, at: At & KeyValue): Promise<void> {
  await sql.query(UPSERT_TAG, [at.projectId, at.id, at.key, at.value]);
}

/** Removes a tag; false if there was none. */
export async function deleteExperimentTag(
  sql: Sql,
  at: At & { readonly key: string },
): Promise<boolean> {
  return (await sql.query(DELETE_TAG, [at.projectId, at.id, at.key])).length > 0;
}
