import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Client } from 'pg';
import { openPostgres, type Postgres } from '../../storage/postgres/client';
import { SERVER_FILE, TEMPLATE } from './global-setup';

/** A migrated database of one test file's own. */
export interface TestDatabase {
  readonly postgres: Postgres;
  readonly url: string;
  readonly drop: () => Promise<void>;
}

/** Clones the template on the server that global set-up started. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const adminUrl = readFileSync(SERVER_FILE(process.env['ANNEAL_TEST_RUN'] ?? ''), 'utf8');
  const name = `test_${randomBytes(6).toString('hex')}`;
  await admin(adminUrl, `CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`);
  const url = adminUrl.replace(/\/postgres$/, `/${name}`);
  const postgres = openPostgres(url);
  return {
    postgres,
    url,
    async drop() {
      await postgres.close();
      await admin(adminUrl, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

async function admin(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
