import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createTestDatabase } from './postgres';

const ROOT = join(__dirname, '..', '..');

/** The real api as its own process, on a database and a data folder of its own. */
export interface TestApi {
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts it open to the local user; no Temporal unless `settings` name one. */
export async function startTestApi(
  settings: Readonly<Record<string, string>> = {},
): Promise<TestApi> {
  const database = await createTestDatabase();
  const dataDir = mkdtempSync(join(tmpdir(), 'anneal-api-'));
  const child = spawn(
    process.execPath,
    ['-r', require.resolve('esbuild-register'), join(ROOT, 'api/main.ts')],
    {
      env: {
        PATH: process.env['PATH'],
        DATABASE_URL: database.url,
        ANNEAL_DATA_DIR: dataDir,
        ANNEAL_PORT: '0',
        ANNEAL_AUTH: 'open',
        ANNEAL_SIGNING_KEY: 's'.repeat(32),
        TEMPORAL_ADDRESS: '127.0.0.1:1', // nobody listens there
        ...settings,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const ended = once(child, 'exit');
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => {
      reject(new Error(`the api ended with code ${code ?? '?'} before it was ready`));
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('{"ready":true')) resolve((JSON.parse(line) as { url: string }).url);
    });
  });
  return {
    url,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      rmSync(dataDir, { recursive: true, force: true });
      await database.drop();
    },
  };
}
