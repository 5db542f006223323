import { join } from 'node:path';
import { AppError } from '../../errors/app-error';
import { checkHistory, readMigrations } from '../migrations';
import type { Postgres, Sql } from './client';

const CREATE_TABLE = `
  CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
  )`;
const SELECT_APPLIED = 'SELECT number, name, checksum FROM schema_migrations ORDER BY number';
const INSERT_APPLIED = 'INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)';
/** Any number serves; it must only differ from other advisory locks of this database. */
const LOCK = 'SELECT pg_advisory_xact_lock(74001)';

interface Applied {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
}

/**
 * Brings the database to the newest schema: files in order, each in a transaction of its own, one
 * process at a time. Throws CONFIG_INVALID if an applied file was changed or is missing.
 */
export async function migratePostgres(
  postgres: Postgres,
  folder = join(__dirname, 'migrations'),
): Promise<void> {
  const files = readMigrations(folder);
  for (;;) {
    const done = await postgres.transaction(async (sql) => applyNext(sql, files));
    if (done) return;
  }
}

/** Applies the first file that is not there yet; true when none was left. */
async function applyNext(sql: Sql, files: ReturnType<typeof readMigrations>): Promise<boolean> {
  await sql.query(LOCK);
  await sql.query(CREATE_TABLE);
  const applied = await sql.query<Applied>(SELECT_APPLIED);
  checkHistory(files, applied);
  const next = files[applied.length];
  if (next === undefined) return true;
  try {
    await sql.query(next.sql);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AppError('STORAGE_FAILED', `Migration ${next.name} failed: ${why}`, { cause });
  }
  await sql.query(INSERT_APPLIED, [next.number, next.name, next.checksum]);
  return false;
}
