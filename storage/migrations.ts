import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '../errors/app-error';

/** One numbered file of statements. */
export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
  readonly checksum: string; // SHA-256 of the text
}

/** The files `0001_name.sql`, `0002_name.sql`, … of a folder in order; refuses gaps. */
export function readMigrations(folder: string): Migration[] {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .sort();
  return names.map((name, i) => {
    const number = Number(name.slice(0, 4));
    if (!/^\d{4}_[a-z0-9_]+\.sql$/.test(name) || number !== i + 1) {
      throw new AppError('CONFIG_INVALID', `Migration ${name} should be number ${i + 1}.`);
    }
    const sql = readFileSync(join(folder, name), 'utf8');
    return { number, name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
  });
}

/** Refuses a database that is newer than the files, or whose applied files were changed. */
export function checkHistory(
  files: readonly Migration[],
  applied: readonly { readonly number: number; readonly name: string; readonly checksum: string }[],
): void {
  applied.forEach((row, i) => {
    const file = files[i];
    if (file === undefined) {
      const message = `The database holds migration ${row.name}, which this version does not know.`;
      throw new AppError('CONFIG_INVALID', `${message} Run a newer version of Anneal.`);
    }
    if (file.number !== row.number || file.checksum !== row.checksum) {
      const message = `Migration ${row.name} was changed after it had been applied.`;
      throw new AppError('CONFIG_INVALID', `${message} Restore it and add a new file instead.`);
    }
  });
}
