import type { ClickHouse } from './client';

const VERSION = 'SELECT version() AS version';

/** The version of the engine: a query that needs nothing but a store that answers. */
export async function findEngineVersion(clickhouse: ClickHouse): Promise<string> {
  const [row] = await clickhouse.query<{ version: string }>(VERSION);
  return row?.version ?? 'unknown';
}
