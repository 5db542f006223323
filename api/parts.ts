import { join } from 'node:path';
import type { Config } from '../config/config';
import { AppError } from '../errors/app-error';
import { createReadPipeline, type ReadPipeline } from '../pipelines/fragments';
import { compileWritten } from '../sdk/pipeline-yaml';
import { openClickHouse, type ClickHouse } from '../storage/clickhouse/client';
import { migrateClickHouse } from '../storage/clickhouse/migrate';
import { openObjects } from '../storage/objects/open';
import type { ObjectStore } from '../storage/objects/store';
import { openPostgres, type Postgres } from '../storage/postgres/client';
import { migratePostgres } from '../storage/postgres/migrate';
import { openWal } from '../storage/wal/wal';
import { openMetrics, type Metrics } from '../tracker/metrics';
import { logLine } from './log';
import { openStarter, type Starter } from './starter';

/** Everything that the routes stand on, opened and migrated. */
export interface Parts {
  readonly postgres: Postgres;
  readonly clickhouse: ClickHouse;
  readonly objects: ObjectStore;
  readonly metrics: Metrics;
  readonly starter: Starter;
  readonly readPipeline: ReadPipeline;
  /** Stores what was acknowledged as far as the stores answer; the log keeps the rest. */
  close(): Promise<void>;
}

/** Opens all parts; throws the first one's reason if it does not open. Temporal may be away. */
export async function openParts(config: Config): Promise<Parts> {
  if (config.DATABASE_URL === undefined) {
    throw new AppError('CONFIG_INVALID', 'DATABASE_URL is not set: where is Postgres?');
  }
  const postgres = openPostgres(config.DATABASE_URL);
  await migratePostgres(postgres);
  const objects = openObjects(config);
  const { ANNEAL_DATA_DIR: dataDir, ANNEAL_DURABILITY: durability } = config;
  // before the embedded ClickHouse: it says who else is at work in the folder
  const wal = await openWal({ dir: join(dataDir, 'wal'), durability, log: logLine });
  const { CLICKHOUSE_URL: url } = config;
  const embedded = { path: join(dataDir, 'clickhouse') };
  const clickhouse = openClickHouse(url === undefined ? embedded : { url });
  await migrateClickHouse(clickhouse);
  const metrics = openMetrics({ wal, clickhouse, postgres, log: logLine });
  const starter = openStarter(config);
  return {
    postgres,
    clickhouse,
    objects,
    metrics,
    starter,
    readPipeline: createReadPipeline({ postgres, objects, compile: compileWritten }),
    async close() {
      await metrics.close(); // needs both stores
      await Promise.all([clickhouse.close(), starter.close(), postgres.close()]);
    },
  };
}
