import { join } from 'node:path';
import { AppError } from '../../errors/app-error';
import { checkHistory, readMigrations, type Migration } from '../migrations';
import type { ClickHouse } from './client';

// Two processes may migrate one server at once: statements can run twice (IF NOT EXISTS), and of
// two equal rows here one is read.
const CREATE_TABLE = `
CREATE TABLE IF NOT EXISTS schema_migrations (
  number UInt32,
  name String,
  checksum String,
  applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = ReplacingMergeTree
ORDER BY (number, checksum)
SETTINGS non_replicated_deduplication_window = 100, fsync_after_insert = 1, fsync_part_directory = 1`;
const SELECT_APPLIED = `
SELECT DISTINCT number, name, checksum FROM schema_migrations ORDER BY number`;
const SELECT_SCHEMA = `
SELECT formatQuery(create_table_query) AS statement FROM system.tables
WHERE database = currentDatabase() AND NOT is_temporary AND name NOT LIKE '.%'
ORDER BY name`;

interface Applied {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
}

/**
 * Brings the store to the newest schema, file by file. ClickHouse has no transactions: a statement
 * of a file may run again after a crash, so each must be harmless the second time. Throws
 * CONFIG_INVALID if an applied file was changed or is missing.
 */
export async function migrateClickHouse(
  clickhouse: ClickHouse,
  folder = join(__dirname, 'migrations'),
): Promise<void> {
  const files = readMigrations(folder);
  await clickhouse.command(CREATE_TABLE);
  const applied = await clickhouse.query<Applied>(SELECT_APPLIED);
  checkHistory(files, applied);
  for (const file of files.slice(applied.length)) await apply(clickhouse, file);
}

async function apply(clickhouse: ClickHouse, file: Migration): Promise<void> {
  try {
    for (const statement of statementsOf(file.sql)) await clickhouse.command(statement);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AppError('STORAGE_FAILED', `Migration ${file.name} failed: ${why}`, { cause });
  }
  await clickhouse.insert({
    table: 'schema_migrations',
    columns: ['number', 'name', 'checksum'],
    body: Buffer.from(`${file.number}\t${file.name}\t${file.checksum}\n`),
    token: `${file.name}:${file.checksum}`,
  });
}

/** Statements end with a semicolon at the end of a line; the server takes one at a time. */
function statementsOf(sql: string): string[] {
  return sql
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}

/** The whole schema as text, for `schema.sql`: a change of it shows in review. */
export async function describeSchema(clickhouse: ClickHouse): Promise<string> {
  const rows = await clickhouse.query<{ readonly statement: string }>(SELECT_SCHEMA);
  return rows.map((row) => `${row.statement};\n`).join('\n');
}
