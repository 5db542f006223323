import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migratePostgres } from '../../storage/postgres/migrate';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

const MIGRATIONS = join(__dirname, '../../storage/postgres/migrations');
let database: TestDatabase;
let folder: string;

beforeEach(async () => {
  database = await createTestDatabase();
  folder = mkdtempSync(join(tmpdir(), 'anneal-migrations-'));
  copyFileSync(join(MIGRATIONS, '0001_foundation.sql'), join(folder, '0001_foundation.sql'));
});
afterEach(async () => {
  await database.drop();
  rmSync(folder, { recursive: true });
});

describe('migrations of Postgres', () => {
  it('does nothing the second time', async () => {
    const count = 'SELECT count(*) AS n FROM schema_migrations';
    const before = await database.postgres.query<{ n: number }>(count);
    await migratePostgres(database.postgres);
    expect(await database.postgres.query(count)).toEqual(before);
  });

  it('applies a new file once, though two processes start together', async () => {
    writeFileSync(join(folder, '0002_more.sql'), 'CREATE TABLE more (id integer PRIMARY KEY);');
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
    writeFileSync(join(folder, '0003_gap.sql'), 'SELECT 1;');
    await expect(migratePostgres(database.postgres, folder)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });

  it('leaves nothing of a file that fails', async () => {
    const sql = 'CREATE TABLE half (id integer); SELECT nonsense;';
    writeFileSync(join(folder, '0002_half.sql'), sql);
    await expect(migratePostgres(database.postgres, folder)).rejects.toMatchObject({
      code: 'STORAGE_FAILED',
    });
    const found = await database.postgres.query("SELECT to_regclass('half') AS name");
    expect(found).toEqual([{ name: null }]);
  });
});
