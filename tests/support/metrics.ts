import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openClickHouse, type ClickHouse } from '../../storage/clickhouse/client';
import { migrateClickHouse } from '../../storage/clickhouse/migrate';
import type { Sql } from '../../storage/postgres/client';
import { openWal } from '../../storage/wal/wal';
import { openMetrics, type Metrics } from '../../tracker/metrics';
import { startClickHouseHttp, type ClickHouseHttp } from './clickhouse-http';
export { point } from './metrics-points';
import { createTestDatabase, type TestDatabase } from './postgres';

/** The whole write path on real stores. */
export interface MetricStack {
  readonly database: TestDatabase;
  readonly clickhouse: ClickHouse;
  readonly front: ClickHouseHttp | undefined;
  readonly folder: string;
  readonly logged: Record<string, unknown>[];
  metrics: Metrics;
  /** Ends the write path and starts it again on the same log. */
  reopen(): Promise<void>;
  close(): Promise<void>;
}

/** Starts the write path with the embedded engine, or with a server over HTTP. */
export async function startMetricStack(way: 'embedded' | 'http'): Promise<MetricStack> {
  const folder = mkdtempSync(join(tmpdir(), 'anneal-metrics-'));
  const data = join(folder, 'clickhouse');
  const front = way === 'http' ? await startClickHouseHttp(data) : undefined;
  const clickhouse = openClickHouse(front === undefined ? { path: data } : { url: front.url });
  await migrateClickHouse(clickhouse);
  const database = await createTestDatabase();
  const logged: Record<string, unknown>[] = [];
  const open = async (): Promise<Metrics> => {
    const wal = await openWal({ dir: join(folder, 'wal'), durability: 'fsync' });
    const { postgres } = database;
    return openMetrics({ wal, clickhouse, postgres, log: (line) => logged.push(line) });
  };
  const stack: MetricStack = {
    ...{ database, clickhouse, front, folder, logged },
    metrics: await open(),
    async reopen() {
      await stack.metrics.close();
      stack.metrics = await open();
    },
    async close() {
      await stack.metrics.close();
      await clickhouse.close();
      await front?.close();
      await database.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return stack;
}

/** A run of the default experiment, as the tracker makes it. */
export async function insertRun(sql: Sql): Promise<string> {
  const id = crypto.randomUUID().replaceAll('-', '');
  await sql.query(
    `INSERT INTO runs (project_id, id, experiment_id, name, status, started_ms, artifact_uri)
    VALUES ('default', $1, 0, 'run', 'RUNNING', 0, 'mlflow-artifacts:/0')`,
    [id],
  );
  return id;
}
