import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createToken } from '../../api/auth/tokens';
import { spawnApi, type ApiProcess } from '../support/api';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

let db: TestDatabase;
let dataDir: string;

beforeAll(async () => {
  db = await createTestDatabase();
  dataDir = mkdtempSync(join(tmpdir(), 'anneal-api-'));
});
afterAll(async () => {
  rmSync(dataDir, { recursive: true, force: true });
  await db.drop();
});

function startApi(settings: Record<string, string>): ApiProcess {
  return spawnApi({ databaseUrl: db.url, dataDir }, settings);
}

describe('the api process', () => {
  it('serves, says how its parts are, asks for tokens, and ends with 0 at SIGTERM', async () => {
    const token = createToken('user').text;
    const api = startApi({ ANNEAL_AUTH: 'token', ANNEAL_ADMIN_TOKEN: token });
    const early = api.ended.then(({ stderr }) => Promise.reject(new Error(stderr)));
    const url = await Promise.race([api.url, early]);
    early.catch(() => undefined);

    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect(await (await fetch(url)).text()).toContain('GET /api/v1/status');
    const status = (await (await fetch(`${url}/api/v1/status`)).json()) as {
      version: string;
      parts: { name: string; ok: boolean; message: string }[];
    };
    expect(status.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(status.parts.map((part) => [part.name, part.ok])).toEqual([
      ['postgres', true],
      ['clickhouse', true],
      ['objects', true],
      ['temporal', false],
    ]);

    const models = `${url}/api/v1/models`;
    expect((await fetch(models)).status).toBe(401);
    const headers = { authorization: `Bearer ${token}` };
    expect(await (await fetch(models, { headers })).json()).toEqual({ models: [] });
    const mlflow = `${url}/api/2.0/mlflow/experiments/get?experiment_id=0`;
    expect((await fetch(mlflow, { headers })).status).toBe(200);

    api.child.kill('SIGTERM');
    expect(await api.ended).toEqual({ code: 0, stderr: '' });
  });

  it('says in one line that its port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const port = String((other.address() as AddressInfo).port);
    const { code, stderr } = await startApi({ ANNEAL_PORT: port }).ended;
    other.close();
    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(new RegExp(`ANNEAL_PORT: the address 127.0.0.1:${port} is in use`));
  });

  it('does not start on the data of another one, which it names, unless that was killed', async () => {
    const first = startApi({});
    await first.url;
    const { code, stderr } = await startApi({}).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(`Process ${first.child.pid ?? 0} writes the log in ${dataDir}`);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    first.child.kill('SIGKILL');
    await first.ended;
    const next = startApi({});
    await next.url;
    next.child.kill('SIGTERM');
    expect((await next.ended).code).toBe(0);
  });

  it.each([
    [{ ANNEAL_HOST: '0.0.0.0' }, /ANNEAL_HOST=0.0.0.0 is not a loopback address/],
    [{ ANNEAL_PORT: 'x' }, /ANNEAL_PORT/],
    [{ DATABASE_URL: '' }, /DATABASE_URL is not set/],
    [{ ANNEAL_NODE_TOKEN: 'secret' }, /ANNEAL_NODE_TOKEN is not a node token/],
    [{ DATABASE_URL: 'postgres://127.0.0.1:1/x' }, /Postgres does not answer/],
  ])('does not start with %j', async (settings: Record<string, string>, expected) => {
    const { code, stderr } = await startApi(settings).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(expected);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
