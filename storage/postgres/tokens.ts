import { randomUUID } from 'node:crypto';
import type { Principal } from '../../schemas/tokens';
import type { Sql } from './client';

/** A token as it is stored: never its text, only the SHA-256 of it. */
export interface StoredToken {
  readonly projectId: string;
  readonly id: string;
  readonly kind: 'user' | 'node' | 'attempt' | 'hook';
  readonly name: string;
  /** What a user token may do; what nodes and attempts may do is fixed by their kind. */
  readonly permissions: readonly string[];
  readonly attempt: NonNullable<Principal['attempt']> | undefined;
}
export interface InsertToken {
  readonly projectId: string;
  readonly kind: StoredToken['kind'];
  readonly hash: Buffer;
  readonly name: string;
  readonly permissions: readonly string[];
  readonly attempt?: NonNullable<Principal['attempt']>;
  readonly expiresAt?: Date;
}

const INSERT = `
INSERT INTO tokens (project_id, id, kind, hash, name, permissions, pipeline_run_id, step_key, attempt,
  expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`;
const REPLACE = `${INSERT}
ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, hash = excluded.hash, name = excluded.name,
  permissions = excluded.permissions, expires_at = excluded.expires_at, revoked_at = NULL`;
const REVOKE = 'UPDATE tokens SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL';
const FIND = `
SELECT project_id, id, kind, name, permissions, pipeline_run_id, step_key, attempt
FROM tokens
WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())`;
const IS_VALID = 'SELECT FROM tokens WHERE id = $1 AND revoked_at IS NULL';
const REVOKE_OF_STEP = `
UPDATE tokens SET revoked_at = now()
WHERE project_id = $1 AND pipeline_run_id = $2 AND step_key = $3 AND revoked_at IS NULL`;

const EXPIRE_OF_STEPS = `
UPDATE tokens SET expires_at = least(expires_at, now() + make_interval(secs => $4))
WHERE project_id = $1 AND pipeline_run_id = $2 AND ($3::text[] IS NULL OR step_key = ANY($3))
  AND revoked_at IS NULL`;

/** Stores a token; returns its id. */
export async function insertToken(sql: Sql, token: InsertToken): Promise<string> {
  const id = randomUUID();
  await sql.query(INSERT, values(id, token));
  return id;
}

/** Stores a token under a fixed id; the token that had this id before is valid no longer. */
export async function replaceToken(sql: Sql, id: string, token: InsertToken): Promise<void> {
  await sql.query(REPLACE, values(id, token));
}

/** Makes a token invalid from now on; nothing if there is none. */
export async function revokeToken(sql: Sql, id: string): Promise<void> {
  await sql.query(REVOKE, [id]);
}

/** True if there is a token with this fixed id that was not revoked. */
export async function hasToken(sql: Sql, id: string): Promise<boolean> {
  return (await sql.query(IS_VALID, [id])).length > 0;
}

/** The token with this SHA-256, unless it was revoked or has expired. */
export async function findToken(sql: Sql, hash: Buffer): Promise<StoredToken | undefined> {
  const [row] = await sql.query<TokenRow>(FIND, [hash]);
  if (row === undefined) return undefined;
  const { pipeline_run_id: runId, step_key: stepKey, attempt } = row;
  const isAttempt = runId !== null && stepKey !== null && attempt !== null;
  return {
    projectId: row.project_id,
    id: row.id,
    kind: row.kind,
    name: row.name,
    permissions: row.permissions,
    attempt: isAttempt ? { runId, stepKey, attempt } : undefined,
  };
}

/** Revokes every token of a step's attempts, for instance when a newer attempt begins. */
export async function revokeStepTokens(
  sql: Sql,
  step: { readonly projectId: string; readonly runId: string; readonly stepKey: string },
): Promise<void> {
  await sql.query(REVOKE_OF_STEP, [step.projectId, step.runId, step.stepKey]);
}

/** Lets the tokens of steps, or of a whole run, be valid for so many seconds more at most. */
export async function expireStepTokens(
  sql: Sql,
  of: {
    readonly projectId: string;
    readonly runId: string;
    readonly stepKeys: readonly string[] | null; // all
    readonly seconds: number;
  },
): Promise<void> {
  await sql.query(EXPIRE_OF_STEPS, [of.projectId, of.runId, of.stepKeys, of.seconds]);
}

interface TokenRow {
  readonly project_id: string;
  readonly id: string;
  readonly kind: StoredToken['kind'];
  readonly name: string;
  readonly permissions: string[];
  readonly pipeline_run_id: string | null;
  readonly step_key: string | null;
  readonly attempt: number | null;
}

function values(id: string, token: InsertToken): unknown[] {
  return [
    token.projectId,
    id,
    token.kind,
    token.hash,
    token.name,
    token.permissions,
    token.attempt?.runId ?? null,
    token.attempt?.stepKey ?? null,
    token.attempt?.attempt ?? null,
    token.expiresAt ?? null,
  ];
}
