import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createToken } from '../../api/auth/tokens';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

const ROOT = join(__dirname, '..', '..');
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

interface Api {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }>;
  readonly url: Promise<string>;
}

/** Starts the api as its own process; `url` resolves once it serves. */
function startApi(settings: Record<string, string>): Api {
  const child = spawn(
    process.execPath,
    ['-r', require.resolve('esbuild-register'), join(ROOT, 'api/main.ts')],
    {
      env: {
        PATH: process.env['PATH'],
        DATABASE_URL: db.url,
        ANNEAL_DATA_DIR: dataDir,
        ANNEAL_PORT: '0',
        ANNEAL_AUTH: 'open',
        ANNEAL_SIGNING_KEY: 's'.repeat(32),
        TEMPORAL_ADDRESS: '127.0.0.1:1', // nobody listens there
        ...settings,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = once(child, 'exit').then(([code]) => ({ code: code as number | null, stderr }));
  const url = new Promise<string>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('{"ready":true')) resolve((JSON.parse(line) as { url: string }).url);
    });
  });
  return { child, ended, url };
}

describe('the api process', () => {
  it('serves, says how its parts are, asks for tokens, and ends with 0 at SIGTERM', async () => {
    const token = createToken('user').text;
    const api = startApi({ ANNEAL_AUTH: 'token', ANNEAL_ADMIN_TOKEN: token });
    const early = api.ended.then(({ stderr }) => Promise.reject(new Error(stderr)));
    const url = await Promise.race([api.url, early]);
    early.catch(() => undefined);

    expect((await fetch(`${url}/health`)).status).toBe(200);
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
