import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../dev/postgres';
import { openClickHouse } from '../storage/clickhouse/client';
import {
  describeSchema as describeClickHouse,
  migrateClickHouse,
} from '../storage/clickhouse/migrate';
import { openPostgres } from '../storage/postgres/client';
import { migratePostgres } from '../storage/postgres/migrate';
import { describeSchema as describePostgres } from '../storage/postgres/schema';

/** Writes both schema.sql files: what an empty database looks like after every migration. */
async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'anneal-snapshot-'));
  try {
    await snapshotPostgres(join(folder, 'postgres'));
    await snapshotClickHouse(join(folder, 'clickhouse'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function snapshotPostgres(dataDir: string): Promise<void> {
  const server = await startPostgres({ dataDir, unsafe: true });
  const postgres = openPostgres(server.url);
  try {
    await migratePostgres(postgres);
    writeFileSync(join('storage', 'postgres', 'schema.sql'), await describePostgres(postgres));
  } finally {
    await postgres.close();
    await server.stop();
  }
}

async function snapshotClickHouse(path: string): Promise<void> {
  const clickhouse = openClickHouse({ path });
  try {
    await migrateClickHouse(clickhouse);
    writeFileSync(
      join('storage', 'clickhouse', 'schema.sql'),
      await describeClickHouse(clickhouse),
    );
  } finally {
    await clickhouse.close();
  }
}

void main();
