import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReadyStack } from '../../dev/main';
import { plan, step } from '../support/plans';
import { commandOf } from '../support/stack-processes';
import { buildOnce, eventually, isRunning, startDev, type DevProcess } from '../support/dev-stack';

const PARTS = ['postgres', 'temporal', 'api', 'control', 'step'] as const;
let dataDir: string;
let dev: DevProcess;
let stack: ReadyStack;

jest.setTimeout(120_000);
beforeAll(async () => {
  buildOnce();
  dataDir = mkdtempSync(join(tmpdir(), 'anneal-e2e-dev-'));
  dev = startDev(['--data', dataDir, '--port', '0']);
  stack = await dev.ready;
});
afterAll(async () => {
  dev.child.kill('SIGTERM');
  await dev.ended;
  rmSync(dataDir, { recursive: true, force: true });
});

async function post(path: string, body: unknown, status = 200): Promise<Record<string, unknown>> {
  const response = await fetch(`${stack.api}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(status);
  return (await response.json()) as Record<string, unknown>;
}

async function createRun(): Promise<string> {
  const answer = await post('/api/2.0/mlflow/runs/create', { experiment_id: '0', start_time: 1 });
  return (answer as { run: { info: { run_id: string } } }).run.info.run_id;
}

async function canRead(runId: string): Promise<boolean> {
  const url = `${stack.api}/api/2.0/mlflow/runs/get?run_id=${runId}`;
  return fetch(url).then(
    (response) => response.ok,
    () => false,
  );
}

/** What a stack makes for itself: the key of signed URLs, the node's token, Postgres's password. */
function secretsOf(folder: string): string[] {
  const made = JSON.parse(readFileSync(join(folder, 'secrets.json'), 'utf8')) as object;
  return [
    ...(Object.values(made) as string[]),
    readFileSync(join(folder, 'postgres', 'password'), 'utf8'),
  ];
}

function environmentOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
}

describe('anneal dev', () => {
  it('starts every part and says where they are', async () => {
    expect(Object.keys(stack.pids).sort()).toEqual([...PARTS, 'supervisor'].sort());
    expect(Object.values(stack.pids).filter(isRunning)).toHaveLength(6);
    expect((await fetch(`${stack.api}/health`)).status).toBe(200);
    expect((await fetch(stack.temporalUi)).status).toBe(200);
    const [, port] = stack.temporal.split(':');
    expect(JSON.parse(readFileSync(join(dataDir, 'ports.json'), 'utf8'))).toMatchObject({
      temporal: Number(port),
    });
  });

  it('lets no page on the web start a workflow: the UI hides among the addresses of loopback', async () => {
    const { hostname, port } = new URL(stack.temporalUi);
    expect(hostname).toMatch(/^127\.\d+\.\d+\.\d+$/);
    expect(hostname).not.toBe('127.0.0.1');
    await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow('fetch failed');
    const ports = JSON.parse(readFileSync(join(dataDir, 'ports.json'), 'utf8')) as {
      temporalHttp: number;
    };
    const workflows = `http://127.0.0.1:${ports.temporalHttp}/api/v1/namespaces/default/workflows`;
    expect((await fetch(`${workflows}/x`, { method: 'POST', body: '{}' })).status).toBe(403);
  });

  it('keeps its secrets for the owner and out of every environment and command line', () => {
    expect(statSync(join(dataDir, 'secrets.json')).mode & 0o777).toBe(0o600);
    const secrets = secretsOf(dataDir);
    expect(secrets).toHaveLength(3);
    for (const pid of Object.values(stack.pids)) {
      const seen = environmentOf(pid).join('\n') + readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      expect(secrets.filter((secret) => seen.includes(secret))).toEqual([]);
    }
    expect(environmentOf(stack.pids['step'] ?? 0)).toContain('ANNEAL_SECRETS=stdin'); // it was read
  });

  it('shows a step no secret in any process that it descends from', async () => {
    const script = `
      p=$$; while [ "$p" -gt 1 ]; do
        echo "process $p"; tr '\\0' '\\n' < /proc/$p/environ; tr '\\0' '\\n' < /proc/$p/cmdline
        p=$(sed -n 's/^PPid:[^0-9]*//p' /proc/$p/status)
      done`;
    const argv = ['sh', '-c', script];
    const { id } = await post(
      '/api/v1/pipeline-runs',
      { plan: plan([step('look', { argv })]) },
      201,
    );
    const path = `${stack.api}/api/v1/pipeline-runs/${String(id)}`;
    const read = async (url: string): Promise<unknown> => (await fetch(url)).json();
    await eventually('the step has ended well', async () => {
      return ((await read(path)) as { status: string }).status === 'succeeded';
    });
    const { lines } = (await read(`${path}/logs`)) as { lines: { text: string }[] };
    const seen = lines.map(({ text }) => text);
    // it did get to see them
    for (const part of ['step', 'supervisor']) {
      expect(seen).toContain(`process ${stack.pids[part] ?? 0}`);
    }
    expect(seen).toContain('ANNEAL_SECRETS=stdin');
    expect(secretsOf(dataDir).filter((secret) => seen.join('\n').includes(secret))).toEqual([]);
  });

  it('gives the api eight threads', () => {
    expect(environmentOf(stack.pids['api'] ?? 0)).toContain('UV_THREADPOOL_SIZE=8');
  });

  it('takes the SDK’s stack traces from the threads of the control worker', () => {
    expect(commandOf(stack.pids['control'] ?? 0)).toContain('--require');
    expect(commandOf(stack.pids['control'] ?? 0)).toContain('workers/workflow-thread.js');
  });

  it('refuses a second one on the same folder', async () => {
    const second = startDev(['--data', dataDir, '--port', '0']);
    expect(await second.ended).toMatchObject({ code: 7 });
    expect(second.stderr()).toContain(`process ${stack.pids['supervisor'] ?? 0}`);
    expect(isRunning(stack.pids['api'] ?? 0)).toBe(true);
  });

  it.each(PARTS)('brings %s back after SIGKILL and loses nothing', async (part) => {
    const runId = await createRun();
    const seen = dev.stderr().length;
    process.kill(stack.pids[part] ?? 0, 'SIGKILL');
    await eventually(`${part} is back`, () =>
      dev.stderr().slice(seen).includes(`${part} ready again`),
    );
    await eventually('the run is readable', () => canRead(runId));
    expect(
      dev
        .stderr()
        .slice(seen)
        .match(/ended \(/g),
    ).toHaveLength(1); // nobody else went down
  });

  it('ends what a killed supervisor left, and starts again with all that was kept', async () => {
    const runId = await createRun();
    const children = JSON.parse(readFileSync(join(dataDir, 'children.json'), 'utf8')) as {
      pid: number;
    }[];
    expect(children).toHaveLength(PARTS.length);
    dev.child.kill('SIGKILL');
    await dev.ended;
    const { api } = stack;
    dev = startDev(['--data', dataDir, '--port', '0']);
    stack = await dev.ready;
    expect(children.filter(({ pid }) => isRunning(pid))).toEqual([]);
    expect(stack.api).toBe(api);
    expect(await canRead(runId)).toBe(true);
  });

  it('stops in order at Ctrl-C and leaves nothing running', async () => {
    const runId = await createRun();
    dev.child.kill('SIGINT');
    expect(await dev.ended).toEqual({ code: 0, signal: null });
    expect(Object.values(stack.pids).filter(isRunning)).toEqual([]);
    expect(readdirSync(dataDir)).not.toContain('dev.lock');
    dev = startDev(['--data', dataDir, '--port', '0'], { UV_THREADPOOL_SIZE: '12' });
    stack = await dev.ready;
    expect(await canRead(runId)).toBe(true);
    expect(environmentOf(stack.pids['api'] ?? 0)).toContain('UV_THREADPOOL_SIZE=12');
  });

  it('says why a folder cannot be used', async () => {
    const file = join(dataDir, 'ports.json');
    const refused = async (data: string): Promise<string> => {
      const second = startDev(['--port', '0', '--data', data]);
      expect((await second.ended).code).toBe(2);
      return second.stderr();
    };
    expect(await refused(file)).toContain(`${file} is not a folder: give another one with --data.`);
    expect(await refused('/proc/anneal')).toContain('/proc/anneal cannot be made: ');
    const broken = mkdtempSync(join(tmpdir(), 'anneal-broken-'));
    writeFileSync(join(broken, 'secrets.json'), '{ wrong');
    expect(await refused(broken)).toContain(`${join(broken, 'secrets.json')} is not JSON: `);
    rmSync(broken, { recursive: true });
  });

  it('says which port is in use', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    const refused = startDev(['--ephemeral', '--port', String(port)]);
    expect(await refused.ended).toMatchObject({ code: 7 });
    expect(refused.stderr()).toContain(`Port ${port} is in use`);
    server.close();
  });

  it('keeps nothing of an ephemeral stack, even if it is stopped while it starts', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'anneal-e2e-tmp-'));
    const ephemeral = startDev(['--ephemeral', '--port', '0'], { TMPDIR: scratch });
    const left = (): string[] => readdirSync(scratch);
    await eventually('its folder exists', () => left().length > 0);
    ephemeral.child.kill('SIGTERM');
    expect(await ephemeral.ended).toEqual({ code: 0, signal: null });
    expect(left()).toEqual([]);
    rmSync(scratch, { recursive: true });
  });
});
