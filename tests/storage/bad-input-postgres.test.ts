import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres, type EmbeddedPostgres } from '../../dev/postgres';
import { createApp } from '../../api/app';
import { registerModels } from '../../api/routes/v1/models';
import { registerMlflowRegisteredModels } from '../../api/routes/mlflow/registered-models';
import { USER_PERMISSIONS } from '../../api/auth/permissions';
import { openPostgres, type Postgres } from '../../storage/postgres/client';
import { migratePostgres } from '../../storage/postgres/migrate';
import { callHttp, type HttpReply } from '../support/http';

jest.setTimeout(120_000);
let server: EmbeddedPostgres;
let postgres: Postgres;
let folder: string;
let url: string;
let close: () => Promise<void>;

/** A server of its own: this one is stopped. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-stopped-'));
  server = await startPostgres({ dataDir: join(folder, 'postgres'), unsafe: true });
  postgres = openPostgres(server.url);
  await migratePostgres(postgres);
  const caller = { kind: 'local', name: 'ada', projectId: 'default' } as const;
  const deps = {
    postgres,
    changeAlias: () => Promise.reject(new Error('not called')),
  };
  const app = await createApp({
    authenticate: () => Promise.resolve({ ...caller, permissions: USER_PERMISSIONS }),
    routes: (routes) => {
      registerModels(routes, deps);
      registerMlflowRegisteredModels(routes, deps);
    },
  });
  url = await app.listen({ host: '127.0.0.1', port: 0 });
  close = () => app.close();
});
afterAll(async () => {
  await close();
  await postgres.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Sends it to the server and to every process of its own. */
function signalServer(signal: NodeJS.Signals): void {
  const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8');
  for (const pid of [server.pid, ...children.trim().split(' ').map(Number)]) {
    process.kill(pid, signal);
  }
}
function create(name: string): Promise<HttpReply> {
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ name, tags: [{ key: 'team', value: 'a' }] });
  const path = '/api/2.0/mlflow/registered-models/create';
  return callHttp(url + path, { method: 'POST', headers, body });
}
const list = (): Promise<HttpReply> => callHttp(`${url}/api/v1/models`);
type Models = { name: string }[];
const models = async (): Promise<Models> => (await list()).json<{ models: Models }>().models;
const TAGGED = { tags: [{ key: 'team', value: 'a' }] };
const ADVICE = 'Check that the service named in the message runs and can be reached.';

it('answers 503 within a bound while Postgres hangs, and goes on when it is back', async () => {
  // connections that wait in the pool, more than the requests below take
  await Promise.all(Array.from({ length: 12 }, () => list()));
  signalServer('SIGSTOP');
  try {
    const [read, write, more] = await Promise.all([list(), create('hung'), list()]);
    for (const reply of [read, more]) {
      expect([reply.status, reply.headers['retry-after'], reply.json()]).toEqual([
        ...[503, '2'],
        expect.objectContaining({
          ...{ code: 'DEPENDENCY_UNAVAILABLE', advice: ADVICE },
          detail: 'Postgres does not answer.',
        }),
      ]);
    }
    expect([write.status, write.headers['retry-after'], write.json()]).toEqual([
      ...[503, '2'],
      {
        error_code: 'TEMPORARILY_UNAVAILABLE',
        message: `Postgres does not answer. ${ADVICE}`,
      },
    ]);
  } finally {
    signalServer('SIGCONT');
  }
  expect((await create('later')).status).toBe(200);
  // what a server took that nobody waited for any more is there as a whole or not at all
  const stored = await models();
  expect(stored.find(({ name }) => name === 'later')).toMatchObject(TAGGED);
  expect(stored.find(({ name }) => name === 'hung') ?? TAGGED).toMatchObject(TAGGED);
});

it('answers 503 at once while Postgres is gone, and goes on when it is back', async () => {
  const { port } = server;
  await server.stop();
  const refused = await create('unheard');
  expect([refused.status, refused.json<{ message: string }>().message]).toEqual([
    ...[503, `Postgres does not answer. ${ADVICE}`],
  ]);
  server = await startPostgres({ dataDir: join(folder, 'postgres'), unsafe: true, port });
  expect((await create('heard')).status).toBe(200);
  const names = (await models()).map(({ name }) => name);
  expect([names.includes('heard'), names.includes('unheard')]).toEqual([true, false]);
});
