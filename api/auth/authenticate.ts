import type { FastifyRequest } from 'fastify';
import type { Config } from '../../config/config';
import { AppError } from '../../errors/app-error';
import type { Principal } from '../../schemas/tokens';
import type { Sql } from '../../storage/postgres/client';
import { findToken, type StoredToken } from '../../storage/postgres/tokens';
import { assertOwnAddress } from './addresses';
import { ATTEMPT_PERMISSIONS, NODE_PERMISSIONS, USER_PERMISSIONS } from './permissions';
import { hashToken, parseToken } from './tokens';

export interface AuthenticateDeps {
  readonly postgres: Sql;
  readonly config: Pick<Config, 'ANNEAL_AUTH' | 'ANNEAL_PORT'>;
}

/** How long a revoked token may still work: saves a query per request of a busy trainer. */
const CACHE_MS = 5_000;
/** About 1 KiB each; more tokens than this in five seconds only cost their queries. */
const CACHE_ENTRIES_MAX = 10_000;

const LOCAL: Principal = {
  kind: 'local',
  name: 'local',
  projectId: 'default',
  permissions: USER_PERMISSIONS,
};

/**
 * Builds the check of who calls: `Authorization: Bearer <token>`, or Basic with the token as
 * password (MLflow clients). Without a token the local user gets in if ANNEAL_AUTH is `open` and
 * the request was made to our own address. A wrong token never falls back to the local user.
 */
export function createAuthenticate(
  deps: AuthenticateDeps,
): (request: FastifyRequest) => Promise<Principal> {
  const lookUp = createLookUp(deps.postgres);
  return async (request) => {
    const header = request.headers.authorization;
    if (header !== undefined) return lookUp(tokenOf(header));
    if (deps.config.ANNEAL_AUTH !== 'open') {
      throw new AppError('UNAUTHENTICATED', 'The request carries no token.');
    }
    assertOwnAddress(request.headers, request.socket.localPort ?? deps.config.ANNEAL_PORT);
    return LOCAL;
  };
}

/** The token's text in an Authorization header; UNAUTHENTICATED for any other scheme. */
export function tokenOf(header: string): string {
  const [, scheme = '', value = ''] = /^(\S+) +(\S+)\s*$/.exec(header) ?? [];
  if (scheme.toLowerCase() === 'bearer') return value;
  if (scheme.toLowerCase() === 'basic') {
    const pair = Buffer.from(value, 'base64').toString('utf8');
    return pair.slice(pair.indexOf(':') + 1); // the user's name says nothing that the token does not
  }
  throw new AppError('UNAUTHENTICATED', 'The Authorization header is neither Bearer nor Basic.');
}

function createLookUp(postgres: Sql): (text: string) => Promise<Principal> {
  const cache = new Map<string, { readonly principal: Principal; readonly untilMs: number }>();
  return async (text) => {
    if (parseToken(text) === undefined) {
      throw new AppError('UNAUTHENTICATED', 'The token is malformed or mistyped.');
    }
    const hash = hashToken(text);
    const key = hash.toString('base64');
    const cached = cache.get(key);
    if (cached !== undefined && cached.untilMs > performance.now()) return cached.principal;
    cache.delete(key);
    const stored = await findToken(postgres, hash);
    if (stored === undefined) {
      throw new AppError('UNAUTHENTICATED', 'The token is unknown, was revoked or has expired.');
    }
    const principal = principalFrom(stored);
    if (cache.size >= CACHE_ENTRIES_MAX) cache.clear();
    cache.set(key, { principal, untilMs: performance.now() + CACHE_MS });
    return principal;
  };
}

function principalFrom(token: StoredToken): Principal {
  const { kind, name, projectId, attempt } = token;
  // a hook starts runs of its pipeline on a route of its own, and may do nothing else
  if (kind === 'hook') return { kind, name, projectId, permissions: new Set() };
  if (kind === 'node') return { kind, name, projectId, permissions: NODE_PERMISSIONS };
  if (kind === 'attempt') {
    // without its attempt the token could not be fenced: refuse it rather than guess
    if (attempt === undefined) throw new AppError('UNAUTHENTICATED', 'The token has no attempt.');
    return { kind, name, projectId, permissions: ATTEMPT_PERMISSIONS, attempt };
  }
  const given = new Set(token.permissions);
  const permissions = new Set([...USER_PERMISSIONS].filter((permission) => given.has(permission)));
  return { kind, name, projectId, permissions };
}
