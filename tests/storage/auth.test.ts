import type { FastifyInstance } from 'fastify';
import { createApp, principalOf, type RoutePermission } from '../../api/app';
import { assertSafeBind } from '../../api/auth/addresses';
import { createAuthenticate } from '../../api/auth/authenticate';
import { bootstrapTokens } from '../../api/auth/bootstrap';
import { createToken } from '../../api/auth/tokens';
import { isAppError } from '../../errors/app-error';
import { Permission } from '../../schemas/tokens';
import { insertToken, revokeStepTokens } from '../../storage/postgres/tokens';
import { callHttp } from '../support/http';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

const ATTEMPT = { runId: 'r1', stepKey: 'train', attempt: 2 };
let db: TestDatabase;
const apps: FastifyInstance[] = [];

beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(async () => {
  await Promise.all(apps.map((app) => app.close()));
  await db.drop();
});

/** A colon would make the rest a parameter. */
const urlOf = (permission: RoutePermission): string => `/${permission.replace(':', '/')}`;

/** The address of an api with one route for each permission, which answers with who called. */
async function apiWith(auth: 'open' | 'token'): Promise<string> {
  const app = await createApp({
    authenticate: createAuthenticate({
      postgres: db.postgres,
      config: { ANNEAL_AUTH: auth, ANNEAL_PORT: 0 },
    }),
    routes: (routes) => {
      for (const permission of [...Permission.options, 'public'] as RoutePermission[]) {
        routes.post(urlOf(permission), { config: { permission } }, (request) => {
          if (permission === 'public') return { kind: 'nobody' };
          const { kind, name, projectId, attempt } = principalOf(request);
          return { kind, name, projectId, attempt };
        });
      }
    },
  });
  apps.push(app);
  return app.listen({ host: '127.0.0.1', port: 0 });
}

async function tokenOf(
  kind: 'user' | 'node' | 'attempt',
  extra: { permissions?: readonly string[]; expiresAt?: Date; attempt?: typeof ATTEMPT } = {},
): Promise<string> {
  const { text, hash } = createToken(kind);
  const bound = kind === 'attempt' ? { attempt: ATTEMPT } : {};
  const row = { projectId: 'default', kind, hash, name: `a ${kind}`, permissions: [] };
  await insertToken(db.postgres, { ...row, ...bound, ...extra });
  return text;
}

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
const basic = (pair: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(pair).toString('base64')}`,
});

const post = (
  api: string,
  permission: RoutePermission,
  headers: Readonly<Record<string, string>> = {},
): ReturnType<typeof callHttp> => callHttp(api + urlOf(permission), { method: 'POST', headers });

/** Permissions whose route lets these headers in; every other one must answer as given. */
async function allowed(
  api: string,
  headers: Readonly<Record<string, string>>,
  refusal: { readonly status: number; readonly code: string },
): Promise<string[]> {
  const open: string[] = [];
  for (const permission of Permission.options) {
    const reply = await post(api, permission, headers);
    if (reply.status === 200) open.push(permission);
    else {
      expect(reply.status).toBe(refusal.status);
      expect(reply.json<{ code: string }>().code).toBe(refusal.code);
    }
  }
  return open.sort();
}

function withPort(
  api: string,
  headers: { readonly host: string; readonly origin?: string },
): Record<string, string> {
  const port = new URL(api).port;
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value.replace('PORT', port)]),
  );
}

const DENIED = { status: 403, code: 'PERMISSION_DENIED' };
const UNKNOWN = { status: 401, code: 'UNAUTHENTICATED' };
const FOREIGN = { status: 403, code: 'FORBIDDEN_ORIGIN' };
const PERSONAL = Permission.options.filter((p) => !p.startsWith('attempts:')).sort();

describe.each(['open', 'token'] as const)('with ANNEAL_AUTH=%s', (auth) => {
  let api: string;
  beforeAll(async () => {
    api = await apiWith(auth);
  });

  it('lets a public route answer anyone', async () => {
    const headers = { host: 'evil.example', origin: 'http://evil.example' };
    const reply = await post(api, 'public', headers);
    expect(reply.status).toBe(200);
  });

  it.each([
    ['an unknown token', bearer(createToken('user').text)],
    ['a mistyped token', bearer(`${createToken('user').text.slice(0, -1)}!`)],
    ['an empty token', { authorization: 'Bearer ' }],
    ['an empty header', { authorization: '' }],
    ['another scheme', { authorization: 'Digest abc' }],
    ['Basic with another password', basic('me:secret')],
    ['Basic without a colon', basic('me')],
  ])('answers 401 to %s, everywhere', async (_name, headers) => {
    expect(await allowed(api, headers, UNKNOWN)).toEqual([]);
  });

  it('lets a node begin attempts and move bytes, no more', async () => {
    const open = await allowed(api, bearer(await tokenOf('node')), DENIED);
    expect(open).toEqual(['artifacts:read', 'artifacts:write', 'attempts:begin']);
  });

  it('lets an attempt track itself and speak for itself, no more', async () => {
    const token = await tokenOf('attempt');
    expect(await allowed(api, bearer(token), DENIED)).toEqual([
      'artifacts:read', 'artifacts:write', 'attempts:self', 'experiments:read',
      'experiments:write', 'models:read', 'runs:read', 'runs:write',
    ]); // prettier-ignore
    const reply = await post(api, 'runs:write', bearer(token));
    expect(reply.json()).toEqual({
      kind: 'attempt', name: 'a attempt', projectId: 'default', attempt: ATTEMPT,
    }); // prettier-ignore
  });

  it('lets a user do what its list says, never what belongs to nodes and attempts', async () => {
    const permissions = ['runs:read', 'models:write', 'attempts:begin', 'attempts:self', 'gone'];
    const token = await tokenOf('user', { permissions });
    expect(await allowed(api, bearer(token), DENIED)).toEqual(['models:write', 'runs:read']);
  });

  it('takes the token as the password of Basic', async () => {
    const token = await tokenOf('user', { permissions: ['runs:read'] });
    expect(await allowed(api, basic(`anyone:${token}`), DENIED)).toEqual(['runs:read']);
  });

  it('refuses tokens that expired or were revoked', async () => {
    const expired = await tokenOf('user', { permissions: ['runs:read'], expiresAt: new Date(0) });
    expect(await allowed(api, bearer(expired), UNKNOWN)).toEqual([]);
    const revoked = await tokenOf('attempt', { attempt: { ...ATTEMPT, runId: 'r2' } });
    await revokeStepTokens(db.postgres, { projectId: 'default', runId: 'r2', stepKey: 'train' });
    expect(await allowed(api, bearer(revoked), UNKNOWN)).toEqual([]);
  });
});

describe('without a token', () => {
  it('is refused everywhere with ANNEAL_AUTH=token', async () => {
    const api = await apiWith('token');
    expect(await allowed(api, {}, UNKNOWN)).toEqual([]);
    const reply = await post(api, 'runs:read');
    expect(reply.headers['www-authenticate']).toMatch(/^Basic /);
  });

  it.each([
    { host: '127.0.0.1:PORT' },
    { host: 'localhost:PORT' },
    { host: 'LOCALHOST:PORT' },
    { host: '[::1]:PORT' },
    { host: 'localhost:PORT', origin: 'http://localhost:PORT' },
  ])('is the local user with ANNEAL_AUTH=open and %p', async (headers) => {
    const api = await apiWith('open');
    expect(await allowed(api, withPort(api, headers), DENIED)).toEqual(PERSONAL);
  });

  it.each([
    { host: 'evil.example' },
    { host: 'evil.example:PORT' },
    { host: 'localhost:PORT.evil.example' },
    { host: 'localhost' },
    { host: 'localhost:1' },
    { host: 'localhost:' },
    { host: '127.0.0.1:PORT', origin: 'http://evil.example' },
    { host: '127.0.0.1:PORT', origin: 'http://127.0.0.1:1' },
    { host: '127.0.0.1:PORT', origin: 'http://127.0.0.1' },
    { host: '127.0.0.1:PORT', origin: 'https://127.0.0.1:PORT' },
    { host: '127.0.0.1:PORT', origin: 'null' },
    { host: '127.0.0.1:PORT', origin: '' },
  ])('is refused with ANNEAL_AUTH=open and %p', async (headers) => {
    const api = await apiWith('open');
    expect(await allowed(api, withPort(api, headers), FOREIGN)).toEqual([]);
  });
});

describe('the start', () => {
  it('fails if a route declares no permission', async () => {
    const routes = (app: FastifyInstance): void => {
      app.get('/forgotten', () => 'hello');
    };
    const authenticate = (): never => {
      throw new Error('nobody asks');
    };
    await expect(createApp({ authenticate, routes })).rejects.toThrow(/declares no permission/);
  });

  it.each(['0.0.0.0', '::', '192.168.1.7', 'example.org', '127.0.0.1.example.org'])(
    'refuses to listen on %s without tokens',
    (host) => {
      const start = (): void => {
        assertSafeBind({ ANNEAL_HOST: host, ANNEAL_AUTH: 'open' });
      };
      expect(start).toThrow(/not a loopback address/);
      assertSafeBind({ ANNEAL_HOST: host, ANNEAL_AUTH: 'token' });
    },
  );

  it.each(['127.0.0.1', 'localhost', '::1', '127.0.0.2'])('may be open on %s', (host) => {
    assertSafeBind({ ANNEAL_HOST: host, ANNEAL_AUTH: 'open' });
  });

  it('stores the configured tokens; a changed one replaces the old', async () => {
    const api = await apiWith('token');
    const [first, second] = [createToken('user').text, createToken('user').text];
    const node = createToken('node').text;
    await bootstrapTokens(db.postgres, { ANNEAL_ADMIN_TOKEN: first, ANNEAL_NODE_TOKEN: node });
    await bootstrapTokens(db.postgres, { ANNEAL_ADMIN_TOKEN: first, ANNEAL_NODE_TOKEN: node });
    await bootstrapTokens(db.postgres, {
      ANNEAL_ADMIN_TOKEN: second,
      ANNEAL_NODE_TOKEN: undefined,
    });
    expect(await allowed(api, bearer(first), UNKNOWN)).toEqual([]);
    expect(await allowed(api, bearer(node), UNKNOWN)).toEqual([]);
    expect(await allowed(api, bearer(second), DENIED)).toEqual(PERSONAL);
  });

  it.each(['secret', createToken('node').text])('refuses %s as admin token', async (text) => {
    const start = bootstrapTokens(db.postgres, {
      ANNEAL_ADMIN_TOKEN: text,
      ANNEAL_NODE_TOKEN: undefined,
    });
    const error: unknown = await start.catch((thrown: unknown) => thrown);
    expect(isAppError(error) && error.code).toBe('CONFIG_INVALID');
    expect(isAppError(error) && error.message).not.toContain(text);
  });
});
