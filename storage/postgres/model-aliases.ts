import type { AliasChange } from '../../schemas/model-aliases';
import { INSERT_AUDIT } from './audit';
import type { Sql } from './client';
import { INSERT_OUTBOX } from './outbox';

export interface AliasKey {
  readonly projectId: string;
  readonly model: string;
  readonly alias: string;
}
export interface CompareAndSwapAlias extends AliasKey {
  readonly version: number | null; // null: the alias is removed
  /** undefined: whatever it was; null: only if it was not set. */
  readonly expectedVersion: number | null | undefined;
  readonly actor: string;
  readonly reason: string;
  readonly idempotencyKey: string;
}
export interface SwappedAlias {
  readonly version: number | null;
  readonly previousVersion: number | null;
  readonly revision: number;
}

// One statement, so that alias, history, audit and event are one commit. The row's lock orders
// writers; the WHERE behind DO UPDATE is then evaluated on the newest row, not on the snapshot.
// The WHERE of the SELECT only guards the first change of an alias, when there is no row to lock.
const COMPARE_AND_SWAP = `
WITH changed AS (
  INSERT INTO model_aliases AS a (project_id, model, alias, version, revision)
  SELECT $1, $2, $3, $4, 1
  WHERE ($4::integer IS NULL OR EXISTS (
      SELECT FROM model_versions WHERE project_id = $1 AND model = $2 AND version = $4))
    AND (($4::integer IS NOT NULL AND (NOT $5::boolean OR $6::integer IS NULL)) OR EXISTS (
      SELECT FROM model_aliases WHERE project_id = $1 AND model = $2 AND alias = $3))
  ON CONFLICT (project_id, model, alias) DO UPDATE
    SET version = excluded.version, revision = a.revision + 1, updated_at = now()
    WHERE (NOT $5::boolean OR a.version IS NOT DISTINCT FROM $6::integer)
      AND coalesce(a.version, excluded.version) IS NOT NULL
  RETURNING old.version AS previous_version, new.version, new.revision
), remembered AS (
  INSERT INTO model_alias_history (project_id, model, alias, revision, old_version, new_version,
    actor, reason, idempotency_key)
  SELECT $1, $2, $3, revision, previous_version, version, $7, $8, $9 FROM changed
), audited AS (
  ${INSERT_AUDIT}
  SELECT $1, $7, 'model_alias.changed', 'model/' || $2::text,
    jsonb_build_object('alias', $3::text, 'from', previous_version, 'to', version,
      'revision', revision, 'reason', $8::text)
  FROM changed
), announced AS (
  ${INSERT_OUTBOX}
  SELECT $1, 'model_alias.changed', jsonb_build_object('model', $2::text, 'alias', $3::text,
    'from', previous_version, 'to', version, 'revision', revision, 'actor', $7::text)
  FROM changed
)
SELECT version, previous_version, revision FROM changed`;
const FIND = `
SELECT version FROM model_aliases
WHERE project_id = $1 AND model = $2 AND alias = $3 AND version IS NOT NULL`;
const FIND_CHANGE = `
SELECT new_version AS version, old_version AS previous_version, revision
FROM model_alias_history
WHERE project_id = $1 AND model = $2 AND alias = $3 AND idempotency_key = $4`;
const LIST_CHANGES = `
SELECT alias, revision, old_version, new_version, actor, reason, at
FROM model_alias_history
WHERE project_id = $1 AND model = $2
ORDER BY id DESC
LIMIT $3`;

/**
 * Points the alias at a version, or removes it, if it is at `expectedVersion`. Undefined if nothing
 * was changed: no such model or version, another value, or nothing to remove. A repeated
 * idempotency key violates the history's unique constraint and changes nothing.
 */
export async function compareAndSwapAlias(
  sql: Sql,
  change: CompareAndSwapAlias,
): Promise<SwappedAlias | undefined> {
  const [row] = await sql.query<SwapRow>(COMPARE_AND_SWAP, [
    change.projectId,
    change.model,
    change.alias,
    change.version,
    change.expectedVersion !== undefined,
    change.expectedVersion ?? null,
    change.actor,
    change.reason,
    change.idempotencyKey,
  ]);
  return row === undefined ? undefined : swapFrom(row);
}

/** The version that the alias names now; undefined if it is not set. */
export async function findModelAlias(sql: Sql, key: AliasKey): Promise<number | undefined> {
  const values = [key.projectId, key.model, key.alias];
  const [row] = await sql.query<{ version: number }>(FIND, values);
  return row?.version;
}

/** The change that was made with this idempotency key. */
export async function findAliasChange(
  sql: Sql,
  wanted: AliasKey & { readonly idempotencyKey: string },
): Promise<SwappedAlias | undefined> {
  const values = [wanted.projectId, wanted.model, wanted.alias, wanted.idempotencyKey];
  const [row] = await sql.query<SwapRow>(FIND_CHANGE, values);
  return row === undefined ? undefined : swapFrom(row);
}

/** The changes of all aliases of a model, newest first. */
export async function listAliasChanges(
  sql: Sql,
  wanted: { readonly projectId: string; readonly model: string; readonly limit: number },
): Promise<AliasChange[]> {
  const values = [wanted.projectId, wanted.model, wanted.limit];
  return (await sql.query<ChangeRow>(LIST_CHANGES, values)).map((row) => ({
    alias: row.alias,
    revision: row.revision,
    oldVersion: row.old_version,
    newVersion: row.new_version,
    actor: row.actor,
    reason: row.reason,
    at: row.at.toISOString(),
  }));
}

interface SwapRow {
  readonly version: number | null;
  readonly previous_version: number | null;
  readonly revision: number;
}
interface ChangeRow {
  readonly alias: string;
  readonly revision: number;
  readonly old_version: number | null;
  readonly new_version: number | null;
  readonly actor: string;
  readonly reason: string;
  readonly at: Date;
}

function swapFrom(row: SwapRow): SwappedAlias {
  return { version: row.version, previousVersion: row.previous_version, revision: row.revision };
}
