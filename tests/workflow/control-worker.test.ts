import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { openStarter, type Starter } from '../../api/starter';
import { parseConfig, type Config } from '../../config/config';
import { findTool } from '../../dev/tools';
import { beginPipelineRun, getPipelineRun, startPipelineRun } from '../../pipelines/pipeline-runs';
import { pipelineRunWorkflowId } from '../../workflows/contract';
import { plan, step } from '../support/plans';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

const projectId = 'default';
const children = new Set<ChildProcess>();
let folder: string;
let database: TestDatabase;
let config: Config;
let starter: Starter;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-control-'));
  database = await createTestDatabase();
  config = parseConfig({ TEMPORAL_ADDRESS: `127.0.0.1:${await freePort()}` });
  starter = openStarter(config);
});
afterAll(async () => {
  for (const child of children) await kill(child, 'SIGKILL');
  await starter.close();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
function start(command: string, ...args: string[]): ChildProcess {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      DATABASE_URL: database.url,
      TEMPORAL_ADDRESS: config.TEMPORAL_ADDRESS,
      ANNEAL_JANITOR_SECONDS: '1',
      ANNEAL_NOTIFY_HOSTS: '127.0.0.1',
    },
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}
async function kill(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
  const ended = once(child, 'exit') as Promise<[number | null]>;
  child.kill(signal);
  return (await ended)[0];
}
function startTemporal(): ChildProcess {
  const port = config.TEMPORAL_ADDRESS.split(':')[1] ?? '';
  const file = join(folder, 'temporal.db');
  const args = ['server', 'start-dev', '--headless', '--port', port, '--db-filename', file];
  const child = start(findTool('temporal'), ...args);
  child.stdout?.resume(); // nobody reads it, and a full pipe would stop the server
  child.stderr?.resume();
  return child;
}
function startControl(): ChildProcess {
  const before = ['esbuild-register', './workers/workflow-thread.ts'];
  const flags = before.flatMap((file) => ['--require', file]);
  return start(process.execPath, ...flags, 'workers/control.ts');
}
function ready(child: ChildProcess): Promise<void> {
  return said(child.stdout, '{"ready":true}');
}
async function said(stream: Readable | null, words: string): Promise<void> {
  if (stream === null) throw new Error('no stream');
  for await (const line of createInterface(stream)) {
    if (line.includes(words)) {
      stream.resume(); // nobody reads on, and a full pipe would stop the child
      return;
    }
  }
  throw new Error(`it ended before it said ${words}`);
}
/** A run whose only step is skipped: no step worker is needed. */
function runOf(word: string): Promise<{ id: string }> {
  const never = step('never', { if: 'params.word == "never"' });
  const start = { plan: plan([never], { word: { type: 'string' } }), params: { word } };
  return startPipelineRun({ postgres: database.postgres, starter }, { projectId, start });
}
async function begun(id: string): Promise<void> {
  for (;;) {
    const { status } = await getPipelineRun(database, { projectId, id });
    if (status === 'running') return;
    await sleep(50);
  }
}
async function ended(id: string): Promise<string> {
  for (;;) {
    const run = await getPipelineRun(database, { projectId, id });
    if (run.endedAt !== null) return run.status;
    await sleep(50);
  }
}

describe('the control worker as a process', () => {
  it('waits for Temporal, goes on after SIGKILL of either, and ends by itself at SIGTERM', async () => {
    const early = startControl(); // before Temporal is there
    const temporal = startTemporal();
    await ready(early);
    expect(await ended((await runOf('one')).id)).toBe('succeeded');

    await kill(early, 'SIGKILL');
    const waiting = await runOf('two'); // nobody is there to run it
    const late = startControl();
    await ready(late);
    expect(await ended(waiting.id)).toBe('succeeded');

    await kill(temporal, 'SIGKILL');
    startTemporal();
    expect(await ended((await runOf('three')).id)).toBe('succeeded');

    expect(await kill(late, 'SIGTERM')).toBe(0);
  });

  it('is missed within seconds by the built-in step that it was killed in', async () => {
    let asked: () => void = () => undefined;
    const firstAsked = new Promise<void>((resolve) => (asked = resolve));
    let requests = 0;
    const receiver = createHttpServer((_, response) => {
      requests += 1;
      if (requests === 1)
        asked(); // and never an answer
      else response.end();
    }).listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
    const control = startControl();
    await ready(control);
    const tell = step('tell', { uses: 'builtin/notify', with: { url, message: 'hello' } });
    const deps = { postgres: database.postgres, starter };
    const start = { plan: plan([tell]), params: {} };
    const { id } = await startPipelineRun(deps, { projectId, start });
    await firstAsked;
    await kill(control, 'SIGKILL');
    const next = startControl();
    await ready(next);
    // without a heartbeat the server would wait for the 90 s that the step may take: too long for a test
    expect(await ended(id)).toBe('succeeded');
    expect(requests).toBe(2);
    expect(await kill(next, 'SIGTERM')).toBe(0);
    receiver.closeAllConnections();
    receiver.close();
  });

  it('keeps no stack trace of what workflows wait for', async () => {
    const control = startControl();
    await ready(control);
    const waits = { plan: plan([step('waits', { pool: 'nobody' })]), params: {} };
    const deps = { postgres: database.postgres, starter };
    const { id } = await startPipelineRun(deps, { projectId, start: waits });
    await begun(id);
    const connection = await Connection.connect({ address: config.TEMPORAL_ADDRESS });
    const handle = new Client({ connection }).workflow.getHandle(pipelineRunWorkflowId(id));
    expect(await handle.query('__stack_trace')).toBe('');
    await handle.terminate();
    await connection.close();
    expect(await kill(control, 'SIGTERM')).toBe(0);
  });

  it('ends runs whose workflow Temporal does not know', async () => {
    const id = 'lost-run';
    const { postgres } = database;
    const begun = { projectId, runId: id, plan: plan([step('never')]) };
    await beginPipelineRun({ postgres }, begun);
    const control = startControl();
    await ready(control);
    await postgres.query(
      `UPDATE pipeline_runs SET created_at = now() - interval '61 seconds' WHERE id = $1`,
      [id],
    );
    expect(await ended(id)).toBe('failed');
    expect(await kill(control, 'SIGTERM')).toBe(0);
  });

  it('ends at SIGTERM while it still waits for Temporal', async () => {
    for (const child of children) await kill(child, 'SIGKILL');
    const control = startControl();
    await said(control.stderr, 'Temporal is not there yet');
    expect(await kill(control, 'SIGTERM')).toBe(0);
  });
});
