import { Readable } from 'node:stream';
import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { openChdb } from './chdb';
import type { ClickHouse } from './contract';
import { translate } from './failures';
import { command, insertSettings, query } from './statements';

export type { ClickHouse, Insert, Params } from './contract';

/** The two ways in: a data folder of the embedded engine, or the URL of a server. */
export type ClickHouseTarget = { readonly path: string } | { readonly url: string };

/** Longer means a broken server: inserts take a second at most, and every query is a keyed one. */
const REQUEST_TIMEOUT_MS = 30_000;
/** One writer, and as many readers as the api answers at once on a small machine. */
const CONNECTIONS_MAX = 8;
/** Opens the store; throws DEPENDENCY_UNAVAILABLE if another process has the data folder. */
export function openClickHouse(target: ClickHouseTarget): ClickHouse {
  return 'path' in target ? openChdb(target.path) : openHttp(target.url);
}

function openHttp(url: string): ClickHouse {
  const client = createClient({
    url,
    request_timeout: REQUEST_TIMEOUT_MS,
    max_open_connections: CONNECTIONS_MAX,
    log: { level: ClickHouseLogLevel.OFF }, // failures are thrown, and logged once, by the caller
  });
  return {
    command: (sql) => command(client, sql),
    query: (sql, params) => query(client, sql, params),
    async insert(insert) {
      const { table, columns, token } = insert;
      const [first, ...rest] = columns;
      if (first === undefined) throw new Error('an insert names its columns');
      try {
        await client.insert({
          table,
          columns: [first, ...rest],
          values: Readable.from([insert.body], { objectMode: false }),
          format: 'TabSeparated',
          clickhouse_settings: insertSettings(token),
        });
      } catch (error) {
        throw translate(error);
      }
    },
    close: () => client.close(),
  };
}
