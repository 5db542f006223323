import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createTestDatabase, type TestDatabase } from './postgres';

const MAIN = join(__dirname, '../../api/main.ts');
const ESBUILD = require.resolve('esbuild-register');

/** The api as a process that was started; it may end before it serves. */
export interface ApiProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }>;
  /** Resolves once it serves. */
  readonly url: Promise<string>;
}

/** Starts the api, open to the local user and without Temporal unless `settings` say otherwise. */
export function spawnApi(
  kept: {
    readonly databaseUrl: string;
    readonly dataDir: string;
    /** A command that runs the one behind it, as `onSmallDisks` gives. */
    readonly within?: readonly string[];
  },
  settings: Readonly<Record<string, string>> = {},
): ApiProcess {
  const command = [...(kept.within ?? []), process.execPath, '-r', ESBUILD, MAIN];
  const [file = '', ...args] = command;
  const child = spawn(file, args, {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: kept.databaseUrl,
      ANNEAL_DATA_DIR: kept.dataDir,
      ANNEAL_PORT: '0',
      ANNEAL_AUTH: 'open',
      ANNEAL_SIGNING_KEY: 's'.repeat(32),
      TEMPORAL_ADDRESS: '127.0.0.1:1', // nobody listens there
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
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

/** The real api as its own process, on a database and a data folder of its own. */
export interface TestApi {
  readonly url: string;
  readonly database: TestDatabase;
  stop(): Promise<void>;
}

/** Starts it and waits until it serves; what it says on stderr is passed on. */
export async function startTestApi(
  settings: Readonly<Record<string, string>> = {},
): Promise<TestApi> {
  const database = await createTestDatabase();
  const dataDir = mkdtempSync(join(tmpdir(), 'anneal-api-'));
  const api = spawnApi({ databaseUrl: database.url, dataDir }, settings);
  api.child.stderr?.pipe(process.stderr, { end: false });
  const early = api.ended.then(({ code, stderr }) => {
    throw new Error(`the api ended with code ${code ?? '?'} before it was ready: ${stderr}`);
  });
  const url = await Promise.race([api.url, early]);
  early.catch(() => undefined); // from here on its end is what `stop` asks for
  return {
    url,
    database,
    async stop() {
      api.child.kill('SIGTERM');
      await api.ended;
      rmSync(dataDir, { recursive: true, force: true });
      await database.drop();
    },
  };
}
