import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openClickHouse, type ClickHouse } from '../../storage/clickhouse/client';
import { describeSchema, migrateClickHouse } from '../../storage/clickhouse/migrate';
import { startClickHouseHttp, type ClickHouseHttp } from '../support/clickhouse-http';

const FOLDER = join(__dirname, '..', '..', 'storage', 'clickhouse');

describe.each(['embedded', 'http'] as const)('ClickHouse, %s', (way) => {
  let folder: string;
  let front: ClickHouseHttp | undefined;
  let clickhouse: ClickHouse;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'anneal-clickhouse-'));
    if (way === 'http') front = await startClickHouseHttp(folder);
    clickhouse = openClickHouse(front === undefined ? { path: folder } : { url: front.url });
    await migrateClickHouse(clickhouse);
  });
  afterAll(async () => {
    await clickhouse.close();
    await front?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function count(sql: string): Promise<number> {
    const [row] = await clickhouse.query<{ n: number | string }>(sql);
    return Number(row?.n);
  }

  it('has the schema of schema.sql after a migration', async () => {
    expect(await describeSchema(clickhouse)).toBe(readFileSync(join(FOLDER, 'schema.sql'), 'utf8'));
  });

  it('migrates twice without a change, and again after a crash before it was noted', async () => {
    await migrateClickHouse(clickhouse);
    expect(await count('SELECT count() AS n FROM schema_migrations')).toBe(1);
    await clickhouse.command('TRUNCATE TABLE schema_migrations');
    await migrateClickHouse(clickhouse);
    expect(await count('SELECT count() AS n FROM schema_migrations')).toBe(1);
  });

  it('refuses a database with another history', async () => {
    const wrong = { table: 'schema_migrations', columns: ['number', 'name', 'checksum'] };
    await clickhouse.command('TRUNCATE TABLE schema_migrations');
    await clickhouse.insert({ ...wrong, body: Buffer.from('1\tx.sql\tabc\n'), token: 'wrong' });
    await expect(migrateClickHouse(clickhouse)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await clickhouse.command('TRUNCATE TABLE schema_migrations');
    await migrateClickHouse(clickhouse);
  });

  it('stores a repeated token once, and the same rows under another token again', async () => {
    await clickhouse.command(`CREATE TABLE tokens (a UInt32, b String) ENGINE = MergeTree
      ORDER BY a SETTINGS non_replicated_deduplication_window = 100`);
    const insert = { table: 'tokens', columns: ['a', 'b'], body: Buffer.from('1\tx\n2\ty\\tz\n') };
    for (const token of ['one', 'one', 'one', 'two']) await clickhouse.insert({ ...insert, token });
    expect(await count('SELECT count() AS n FROM tokens')).toBe(4);
    const rows = await clickhouse.query('SELECT DISTINCT a, b FROM tokens ORDER BY a');
    expect(rows).toEqual([
      { a: 1, b: 'x' },
      { a: 2, b: 'y\tz' },
    ]);
  });

  it.each([
    "it's",
    'back\\slash',
    'tab\there',
    'line\nend',
    '{x:String}',
    'é🙂',
    "'; DROP TABLE t",
  ])('binds %j as a value', async (text) => {
    const rows = await clickhouse.query('SELECT {text:String} AS text', { text });
    expect(rows).toEqual([{ text }]);
  });

  it('names NaN and the infinities', async () => {
    const rows = await clickhouse.query(
      'SELECT arrayJoin([nan, inf, -inf, toFloat64(0.1)]) AS value',
    );
    expect(rows).toEqual([{ value: 'nan' }, { value: 'inf' }, { value: '-inf' }, { value: 0.1 }]);
  });

  it('lets no setting of one statement leak into the next', async () => {
    await clickhouse.query('SELECT 1 AS one');
    const read = "SELECT value FROM system.settings WHERE name = 'max_execution_time'";
    await clickhouse.command(`CREATE TABLE IF NOT EXISTS leaks ENGINE = Memory AS ${read}`);
    expect(await clickhouse.query('SELECT value FROM leaks')).toEqual([{ value: '0' }]);
  });

  it('reports a mistake in a statement as itself', async () => {
    await expect(clickhouse.query('SELECT nothing')).rejects.toMatchObject({ code: '47' });
  });
});

describe('ClickHouse that is not there', () => {
  it('says that the server does not answer', async () => {
    const clickhouse = openClickHouse({ url: 'http://127.0.0.1:1' });
    const unavailable = { code: 'DEPENDENCY_UNAVAILABLE' };
    await expect(clickhouse.query('SELECT 1')).rejects.toMatchObject(unavailable);
    await expect(clickhouse.command('SELECT 1')).rejects.toMatchObject(unavailable);
    const insert = { table: 't', columns: ['a'], body: Buffer.from('1\n'), token: 'x' };
    await expect(clickhouse.insert(insert)).rejects.toMatchObject(unavailable);
    await clickhouse.close();
  });
});
