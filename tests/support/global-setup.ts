import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres, type EmbeddedPostgres } from '../../dev/postgres';
import { openPostgres } from '../../storage/postgres/client';
import { migratePostgres } from '../../storage/postgres/migrate';

/** The database that every test clones: made once, never written. */
export const TEMPLATE = 'anneal';

/** With the number of the process whose run it is. */
const PREFIX = 'anneal-postgres-';

/** Where the address of this run's server stands; the run is named in ANNEAL_TEST_RUN. */
export function SERVER_FILE(run: string): string {
  return join(run, 'server-url');
}

declare global {
  var annealTestServer: { server: EmbeddedPostgres; folder: string } | undefined;
}

/** Starts one Postgres for the whole run and migrates its template database. */
export default async function setup(): Promise<void> {
  if (globalThis.annealTestServer !== undefined) return; // once, though each project names it
  removeLeftovers();
  const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
  const server = await startPostgres({ dataDir: join(folder, 'data'), unsafe: true });
  const template = openPostgres(server.url);
  await migratePostgres(template);
  await template.close();
  writeFileSync(SERVER_FILE(folder), server.adminUrl, { mode: 0o600 });
  process.env['ANNEAL_TEST_RUN'] = folder;
  globalThis.annealTestServer = { server, folder };
}

/** Ends what `setup` started. */
export async function teardown(): Promise<void> {
  const started = globalThis.annealTestServer;
  if (started === undefined) return;
  globalThis.annealTestServer = undefined;
  await started.server.stop();
  rmSync(started.folder, { recursive: true, force: true });
}

/** A run that was killed could not tidy up; its server went with it. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(PREFIX))) {
    const pid = name.slice(PREFIX.length).split('-')[0] ?? '';
    if (existsSync(`/proc/${pid}`) || !existsSync('/proc/self')) continue;
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}
