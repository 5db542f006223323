import type { FastifyInstance } from 'fastify';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp, type RoutePermission } from '../../api/app';
import { createAuthenticate } from '../../api/auth/authenticate';
import {
  ATTEMPT_PERMISSIONS,
  NODE_PERMISSIONS,
  USER_PERMISSIONS,
} from '../../api/auth/permissions';
import { createToken } from '../../api/auth/tokens';
import { openParts, type Parts } from '../../api/parts';
import { registerRoutes } from '../../api/routes';
import { parseConfig } from '../../config/config';
import { insertToken } from '../../storage/postgres/tokens';
import { callHttp } from '../support/http';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

interface Route {
  readonly method: string;
  readonly url: string; // parameters filled in
  readonly permission: RoutePermission;
}
let db: TestDatabase;
let dataDir: string;
let parts: Parts;
const apps: FastifyInstance[] = [];
let table: Route[] = [];
const address: Record<string, string> = {};

beforeAll(async () => {
  db = await createTestDatabase();
  dataDir = mkdtempSync(join(tmpdir(), 'anneal-routes-'));
  const config = parseConfig({
    DATABASE_URL: db.url,
    ANNEAL_DATA_DIR: dataDir,
    ANNEAL_SIGNING_KEY: 's'.repeat(32),
    TEMPORAL_ADDRESS: '127.0.0.1:1', // nobody listens there
  });
  parts = await openParts(config);
  for (const auth of ['open', 'token'] as const) {
    table = [];
    const app = await createApp({
      authenticate: createAuthenticate({
        postgres: parts.postgres,
        config: { ...config, ANNEAL_AUTH: auth },
      }),
      routes: (routes) => {
        routes.addHook('onRoute', ({ method, url, config: { permission } = {} }) => {
          const filled = url.replace(/:\w+/g, 'x').replace('*', '0/x/artifacts/x');
          if (permission === undefined) throw new Error(`${url} declares no permission`);
          for (const one of [method].flat()) table.push({ method: one, url: filled, permission });
        });
        registerRoutes(routes, parts);
      },
    });
    apps.push(app);
    address[auth] = await app.listen({ host: '127.0.0.1', port: 0 });
  }
});
afterAll(async () => {
  await Promise.all(apps.map((app) => app.close()));
  await parts.close();
  rmSync(dataDir, { recursive: true, force: true });
  await db.drop();
});

/** The status with which each route that is not public answers an empty request that carries these headers. */
async function walk(
  auth: 'open' | 'token',
  headers: Readonly<Record<string, string>>,
): Promise<(Route & { readonly status: number })[]> {
  const answers: (Route & { readonly status: number })[] = [];
  for (const route of table.filter(({ permission }) => permission !== 'public')) {
    const { method } = route;
    const { status } = await callHttp((address[auth] ?? '') + route.url, { method, headers });
    answers.push({ ...route, status });
  }
  return answers;
}

/** Whom a route let in, and whom it did not. Signed URLs are refused with 403: none is signed. */
function expectOnly(
  answers: readonly (Route & { readonly status: number })[],
  permissions: ReadonlySet<RoutePermission>,
  refusal: number,
): void {
  const wrong = answers.filter(({ permission, status }) => {
    if (permission === 'signed-url') return status !== 403;
    if (!permissions.has(permission)) {
      // a hook asks for its own token and tells nobody why another one does not do
      return status !== (permission === 'hook-token' ? 401 : refusal);
    }
    return status === 401 || status === 403 || (status >= 500 && status !== 501);
  });
  expect(wrong).toEqual([]);
}

async function tokenOf(kind: 'node' | 'attempt' | 'hook'): Promise<string> {
  const { text, hash } = createToken(kind);
  const attempt = { runId: 'no-run', stepKey: 'train', attempt: 1 };
  const name = kind === 'hook' ? 'x' : kind; // as parameters are filled in
  const row = { projectId: 'default', kind, hash, name, permissions: [] };
  await insertToken(db.postgres, kind === 'attempt' ? { ...row, attempt } : row);
  return `Bearer ${text}`;
}

describe('the route table', () => {
  it('is the whole surface, and opens little of it to everyone', () => {
    expect(table.length).toBeGreaterThan(100);
    const open = table.filter((r) => r.permission === 'public' && r.method !== 'HEAD');
    expect(open.map((route) => route.url).sort()).toEqual([
      '/',
      '/ajax-api/3.0/mlflow/server-info',
      '/api/3.0/mlflow/server-info',
      '/api/v1/status',
      '/health',
      '/version',
    ]);
    const signed = table.filter((route) => route.permission === 'signed-url');
    expect(signed.filter((route) => !route.url.startsWith('/objects/'))).toEqual([]);
  });

  it('lets a node begin attempts and store bytes under their digest, and write nothing else', () => {
    const isOfNode = (permission: RoutePermission): boolean =>
      [...NODE_PERMISSIONS].some((one) => one === permission);
    const own = table.filter(
      ({ method, permission }) => !['GET', 'HEAD'].includes(method) && isOfNode(permission),
    );
    expect(own.map(({ method, url }) => `${method} ${url}`).sort()).toEqual([
      'POST /api/v1/artifacts',
      'POST /api/v1/attempts',
      'POST /api/v1/objects/plan',
    ]);
  });

  it('refuses everyone without a token', async () => {
    expectOnly(await walk('token', {}), new Set(), 401);
  });

  it.each(['open', 'token'] as const)('refuses a wrong token with ANNEAL_AUTH=%s', async (auth) => {
    const authorization = `Bearer ${createToken('user').text}`;
    expectOnly(await walk(auth, { authorization }), new Set(), 401);
  });

  it('lets a node do what nodes do', async () => {
    expectOnly(
      await walk('token', { authorization: await tokenOf('node') }),
      NODE_PERMISSIONS,
      403,
    );
  });

  it('lets an attempt do what attempts do', async () => {
    const authorization = await tokenOf('attempt');
    expectOnly(await walk('token', { authorization }), ATTEMPT_PERMISSIONS, 403);
  });

  it('lets a hook do nothing but call itself', async () => {
    const authorization = await tokenOf('hook');
    expectOnly(await walk('token', { authorization }), new Set(['hook-token']), 403);
  });

  it('lets the local user do everything but what belongs to nodes and attempts', async () => {
    expectOnly(await walk('open', {}), USER_PERMISSIONS, 403);
  });

  it.each([{ host: 'evil.example' }, { origin: 'http://evil.example' }, { origin: 'null' }])(
    'refuses the local user behind %p',
    async (headers: Record<string, string>) => {
      expectOnly(await walk('open', headers), new Set(), 403);
    },
  );
});
