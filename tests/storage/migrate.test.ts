import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPostgres } from '../../storage/postgres/client';
import { migratePostgres } from '../../storage/postgres/migrate';
import { describeSchema } from '../../storage/postgres/schema';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

const MIGRATIONS = join(__dirname, '../../storage/postgres/migrations');
const NAMES = readdirSync(MIGRATIONS).sort();
let database: TestDatabase;
let folder: string;

beforeEach(async () => {
  database = await createTestDatabase();
  folder = mkdtempSync(join(tmpdir(), 'anneal-migrations-'));
  for (const name of NAMES) copyFileSync(join(MIGRATIONS, name), join(folder, name));
});
afterEach(async () => {
  await database.drop();
  rmSync(folder, { recursive: true });
});

/** Writes a migration that follows the real ones, `ahead` numbers further. */
function addFile(sql: string, ahead = 1): void {
  const number = String(NAMES.length + ahead).padStart(4, '0');
  writeFileSync(join(folder, `${number}_added.sql`), sql);
}

describe('migrations of Postgres', () => {
  it('end in the schema of schema.sql (npm run db:snapshot)', async () => {
    const committed = readFileSync(join(MIGRATIONS, '../schema.sql'), 'utf8');
    expect(await describeSchema(database.postgres)).toBe(committed);
  });

  it('does nothing the second time', async () => {
    const count = 'SELECT count(*) AS n FROM schema_migrations';
    const before = await database.postgres.query<{ n: number }>(count);
    await migratePostgres(database.postgres);
    expect(await database.postgres.query(count)).toEqual(before);
  });

  it('makes one schema of an empty database, though two processes start together', async () => {
    const expected = await describeSchema(database.postgres);
    await database.postgres.query('DROP SCHEMA public CASCADE');
    await database.postgres.query('CREATE SCHEMA public');
    const other = openPostgres(database.url);
    await Promise.all([migratePostgres(database.postgres), migratePostgres(other)]);
    await other.close();
    expect(await describeSchema(database.postgres)).toBe(expected);
    const noted = await database.postgres.query<{ name: string }>(
      'SELECT name FROM schema_migrations ORDER BY number',
    );
    expect(noted.map((row) => row.name)).toEqual(NAMES);
  });

  it('applies a new file once, though two processes start together', async () => {
    addFile('CREATE TABLE more (id integer PRIMARY KEY);');
    await Promise.all([
      migratePostgres(database.postgres, folder),
      migratePostgres(database.postgres, folder),
    ]);
    expect(await database.postgres.query('SELECT * FROM more')).toEqual([]);
  });

  it('refuses an applied file that was changed', async () => {
    writeFileSync(join(folder, '0001_foundation.sql'), 'SELECT 1;');
    await expect(migratePostgres(database.postgres, folder)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('0001_foundation.sql was changed') as string,
    });
  });

  it('refuses a gap in the numbers', async () => {
    addFile('SELECT 1;', 2);
    await expect(migratePostgres(database.postgres, folder)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });

  it('leaves nothing of a file that fails', async () => {
    addFile('CREATE TABLE half (id integer); SELECT nonsense;');
    await expect(migratePostgres(database.postgres, folder)).rejects.toMatchObject({
      code: 'STORAGE_FAILED',
    });
    const found = await database.postgres.query("SELECT to_regclass('half') AS name");
    expect(found).toEqual([{ name: null }]);
  });
});
