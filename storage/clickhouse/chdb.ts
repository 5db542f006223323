import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createClient, type ClickHouseClient } from '@clickhouse/client';
import { drainPending, Session } from 'chdb';
import { createChdbConnection, type ChdbConnection } from 'chdb/connection';
import { AppError } from '../../errors/app-error';
import type { ClickHouse } from './contract';
import { translate } from './failures';
import { command, insertSettings, query } from './statements';

/** The engine would take 90 % of the machine: 2 GiB hold an insert of a block and several reads. */
const MEMORY_BYTES_MAX = 2 * 1024 * 1024 * 1024;
/** Marks of about 100 M rows; the default (5 GiB) is larger than all that the engine may use. */
const MARK_CACHE_BYTES = 128 * 1024 * 1024;
/** A session does one thing at a time: with two, a slow chart does not block a history page. */
const READERS = 2;
const CONFIG = `<clickhouse>
  <max_server_memory_usage>${MEMORY_BYTES_MAX}</max_server_memory_usage>
  <mark_cache_size>${MARK_CACHE_BYTES}</mark_cache_size>
  <logger><level>none</level></logger>
</clickhouse>
`;

/**
 * Opens the embedded engine on a data folder: one process per folder, and one folder at a time per
 * process. The first session carries the engine's configuration; the others share it.
 */
export function openChdb(path: string): ClickHouse {
  const folder = resolve(path);
  const keeper = openFirst(folder);
  const writer = connect(folder);
  const readers = Array.from({ length: READERS }, () => connect(folder));
  let turn = 0;
  const next = (): Connected => readers[turn++ % READERS] ?? writer;
  return {
    command: (sql) => command(writer.client, sql),
    query: (sql, params) => query(next().client, sql, params),
    async insert(insert) {
      const { table, body, token } = insert;
      try {
        await writer.connection.chdb.rawInsert({
          table,
          columns: [...insert.columns],
          format: 'TSV',
          values: body,
          settings: insertSettings(token),
        });
      } catch (error) {
        throw translate(error);
      }
    },
    async close() {
      for (const { client } of [writer, ...readers]) await client.close();
      keeper.close();
      await drainPending(); // only now another folder, or another process, may follow
    },
  };
}

function openFirst(folder: string): Session {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const config = join(folder, 'anneal-config.xml');
  writeFileSync(config, CONFIG, { mode: 0o600 });
  try {
    return new Session(folder, { connectionArgs: [`--config-file=${config}`] });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `The metric store in ${folder} cannot be opened: ${why.slice(0, 300)}`;
    throw new AppError('DEPENDENCY_UNAVAILABLE', message, { cause });
  }
}

interface Connected {
  readonly connection: ChdbConnection;
  readonly client: ClickHouseClient;
}

/** A session of its own behind the ordinary client. */
function connect(folder: string): Connected {
  const connection = createChdbConnection({ path: folder });
  // the client carries a copy of the interface that chdb implements: the same, under another name
  const config = { connection } as unknown as Parameters<typeof createClient>[0];
  return { connection, client: createClient(config) };
}
