import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp, type RoutePermission } from '../../api/app';
import { createToken } from '../../api/auth/tokens';
import { openParts, type Parts } from '../../api/parts';
import { registerRoutes } from '../../api/routes';
import { parseConfig } from '../../config/config';
import { beginAttempt } from '../../pipelines/attempts';
import { beginPipelineRun } from '../../pipelines/pipeline-runs';
import { Permission } from '../../schemas/tokens';
import { plan, step } from './plans';
import { createTestDatabase, type TestDatabase } from './postgres';

export interface ApiRoute {
  readonly method: string;
  readonly url: string; // as it is declared: with :name and *
  readonly permission: RoutePermission;
}
/** Every route of the api in this process, open to a caller who may do everything. */
export interface WholeApi {
  readonly url: string;
  readonly table: readonly ApiRoute[];
  readonly database: TestDatabase;
  readonly parts: Parts;
  /** What the api said in its log. */
  readonly logged: Record<string, unknown>[];
  /** All rows of all tables that requests write, counted. */
  countRows(): Promise<Readonly<Record<string, number>>>;
  close(): Promise<void>;
}

/** Who calls: a user and an attempt in one, which only a test can be. */
export const ATTEMPT = { runId: 'the-run', stepKey: 'train', attempt: 1 } as const;

/** Serves on a database of its own, without Temporal; the caller's attempt has begun. */
export async function startWholeApi(): Promise<WholeApi> {
  const database = await createTestDatabase();
  const dataDir = mkdtempSync(join(tmpdir(), 'anneal-whole-'));
  const config = parseConfig({
    DATABASE_URL: database.url,
    ANNEAL_DATA_DIR: dataDir,
    ANNEAL_SIGNING_KEY: 's'.repeat(32),
    TEMPORAL_ADDRESS: '127.0.0.1:1', // nobody listens there
  });
  const parts = await openParts(config);
  const table: ApiRoute[] = [];
  const logged: Record<string, unknown>[] = [];
  const permissions = new Set(Permission.options);
  const app = await createApp({
    authenticate: () =>
      Promise.resolve({
        kind: 'user',
        name: 'ada',
        projectId: 'default',
        permissions,
        attempt: ATTEMPT,
      }),
    routes: (routes) => {
      routes.addHook('onRoute', ({ method, url, config: { permission } = {} }) => {
        if (permission === undefined) return;
        for (const one of [method].flat()) table.push({ method: one, url, permission });
      });
      registerRoutes(routes, parts);
    },
    log: (line) => logged.push(line),
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const run = { projectId: 'default', runId: ATTEMPT.runId, plan: plan([step('train')]) };
  await beginPipelineRun(parts, run);
  await beginAttempt({ ...parts, createToken }, { projectId: 'default', ...ATTEMPT, node: 'n1' });
  const names = await database.postgres.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`,
  );
  const counts = names.map(({ name }) => `SELECT '${name}' AS name, count(*) AS n FROM "${name}"`);
  return {
    ...{ url, table, database, parts, logged },
    async countRows() {
      const sql = counts.join(' UNION ALL ');
      const rows = await database.postgres.query<{ name: string; n: number }>(sql);
      return Object.fromEntries(rows.map(({ name, n }) => [name, n]));
    },
    async close() {
      await app.close();
      await parts.close();
      rmSync(dataDir, { recursive: true, force: true });
      await database.drop();
    },
  };
}
