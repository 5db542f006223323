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
  stop(): Promise<void>;
}

/** Stock MLflow imports for half a minute on a busy machine, and then migrates. */
const PEER_TIMEOUT_MS = 180_000;

/** `anneal dev` on a temporary folder. */
export async function startOurs(): Promise<Server> {
  const dev = startDev(['--ephemeral', '--port', '0']);
  const { api } = await dev.ready;
  return {
    name: 'ours',
    url: api,
    stop: async () => {
      dev.child.kill('SIGINT');
      await dev.ended;
    },
  };
}

/** Stock `mlflow server`, its defaults, on a Postgres with the settings of ours. */
export async function startPeer(program: string): Promise<Server> {
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
  return { name: 'stock', url, stop };
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
