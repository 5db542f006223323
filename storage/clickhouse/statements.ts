import type { ClickHouseClient } from '@clickhouse/client';
import type { Params } from './contract';
import { translate } from './failures';

/** Ends a query before the client gives up on it, so that none goes on unseen. */
const QUERY_SETTINGS = 'SETTINGS max_execution_time = 25, output_format_json_quote_denormals = 1';

/** What every insert says for itself, whatever the defaults of the server are. */
export function insertSettings(token: string): Record<string, string | number> {
  return {
    insert_deduplication_token: token,
    async_insert: 0, // we batch; an insert that returned must be stored
    input_format_parallel_parsing: 0, // one block per insert, so that the token covers all of it
    max_partitions_per_insert_block: 0, // the table bounds them itself
  };
}

/** Runs a statement that returns nothing. */
export async function command(client: ClickHouseClient, sql: string): Promise<void> {
  try {
    await client.command({ query: sql });
  } catch (error) {
    throw translate(error);
  }
}
/** Runs a query with bound parameters; its settings stand in the text, as chDB's `SET` would stick. */
export async function query<Row>(
  client: ClickHouseClient,
  sql: string,
  params: Params = {},
): Promise<Row[]> {
  try {
    const result = await client.query({
      query: `${sql}\n${QUERY_SETTINGS}`,
      query_params: { ...params },
      format: 'JSONEachRow',
    });
    return await result.json<Row>();
  } catch (error) {
    throw translate(error);
  }
}
