import type { Sql } from './client';

const VERSION = 'SHOW server_version';

/** The version of the server: a statement that needs nothing but a living connection. */
export async function findServerVersion(sql: Sql): Promise<string> {
  const [row] = await sql.query<{ server_version: string }>(VERSION);
  return row?.server_version ?? 'unknown';
}
