import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../dev/ports';
import { startPostgres } from '../dev/postgres';
import { startDev } from '../tests/support/dev-stack';

/** A server that speaks MLflow's REST API. */
export interface Server {
  readonly name: string;
  readonly url: string;
  /** Where a model version may come from: each takes only what it knows. */
  readonly source: string;
  stop(): Promise<void>;
}

/** Adds ours, and the stock one if its program is given; what was added is to be stopped. */
export async function startServers(servers: Server[], peer: string | undefined): Promise<void> {
  servers.push(await startOurs());
  if (peer !== undefined) servers.push(await startPeer(peer));
}

export async function stopServers(servers: readonly Server[]): Promise<void> {
  for (const server of servers) await server.stop();
}

/** What the server answered. */
export type Answer = Readonly<Record<string, unknown>>;

/** Of MLflow's REST API, a GET without a body; throws unless it is answered with 2xx. */
export async function call(server: Server, path: string, body?: unknown): Promise<Answer> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' } };
  const response = await fetch(
    `${server.url}/api/2.0/mlflow/${path}`,
    body === undefined ? {} : { ...init, body: JSON.stringify(body) },
  );
  const text = await response.text();
  if (!response.ok) throw new Error(`${server.name} ${path}: ${response.status} ${text}`);
  return JSON.parse(text) as Answer;
}

/** Stock MLflow imports for half a minute on a busy machine, and then migrates. */
const PEER_TIMEOUT_MS = 180_000;

/** `anneal dev` on a temporary folder. */
async function startOurs(): Promise<Server> {
  const dev = startDev(['--ephemeral', '--port', '0']);
  const { api } = await dev.ready;
  const server = {
    name: 'ours',
    url: api,
    source: '',
    stop: async () => {
      dev.child.kill('SIGINT');
      await dev.ended;
    },
  };
  return { ...server, source: await logModel(server) };
}

/** A run with one model file; only what has files can be registered with us. */
async function logModel(server: Server): Promise<string> {
  const { run } = await call(server, 'runs/create', { experiment_id: '0' });
  const { artifact_uri: root } = (run as { info: { artifact_uri: string } }).info;
  const path = `${root.replace('mlflow-artifacts:/', '')}/model/MLmodel`;
  const url = `${server.url}/api/2.0/mlflow-artifacts/artifacts/${path}`;
  const put = await fetch(url, { method: 'PUT', body: 'flavors: {}' });
  if (!put.ok) throw new Error(`${server.name} ${path}: ${put.status} ${await put.text()}`);
  return `${root}/model`;
}

/** Stock `mlflow server`, its defaults, on a Postgres with the settings of ours. */
async function startPeer(program: string): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'anneal-bench-peer-'));
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres') });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const store = postgres.url.replace(/^postgres(ql)?:/, 'postgresql+psycopg2:');
  const flags = ['--backend-store-uri', store, '--artifacts-destination', join(folder, 'files')];
  const logFile = join(folder, 'log');
  const log = openSync(logFile, 'w');
  // its workers are processes of their own: ended as a group
  const child = spawn(program, ['server', '--port', String(port), ...flags], {
    stdio: ['ignore', log, log],
    detached: true,
  });
  const stop = async (): Promise<void> => {
    await endGroup(child);
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await answers(`${url}/health`);
  } catch {
    const said = readFileSync(logFile, 'utf8').slice(-2000);
    await stop();
    throw new Error(`'${program} server' does not answer; it said:\n${said}`);
  }
  return { name: 'stock', url, source: 's3://bench/model', stop };
}

async function answers(url: string): Promise<void> {
  const deadline = Date.now() + PEER_TIMEOUT_MS;
  for (;;) {
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok === true) return;
    if (Date.now() > deadline) throw new Error(`nothing answers at ${url}`);
    await sleep(100);
  }
}

/** At once: what it keeps is thrown away, and its job runners do not heed SIGTERM. */
async function endGroup(child: ChildProcess): Promise<void> {
  if (child.pid === undefined) return;
  const gone = child.exitCode !== null || new Promise((resolve) => child.once('exit', resolve));
  process.kill(-child.pid, 'SIGKILL');
  await gone;
}
