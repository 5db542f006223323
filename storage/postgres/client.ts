import { Pool, types, type PoolClient } from 'pg';
import { AppError, isAppError } from '../../errors/app-error';

// int8 arrives as text by default: every int8 of ours is below 2^53 (counters, milliseconds, bytes)
types.setTypeParser(types.builtins.INT8, Number);

/** Runs statements: the pool itself, or one transaction. */
export interface Sql {
  query<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}
/** The database: statements, transactions, and an end. */
export interface Postgres extends Sql {
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Connections per process: the embedded server allows 100, and at most five processes share it. */
const POOL_MAX = 16;
/** Longer means a broken server, not a slow query: every query of ours is a keyed one. */
const STATEMENT_TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** A server that hangs cannot keep its own limit: the answer to a statement is awaited so long. */
const ANSWER_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 5_000;

/** Codes of node and Postgres that say "not there (yet)", so a retry may help. */
const UNAVAILABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOENT',
  '57P01',
  '57P02',
  '57P03',
  '53300',
]);

/** Opens a pool; no connection is made before the first statement. */
export function openPostgres(url: string): Postgres {
  const pool = new Pool({
    connectionString: url,
    max: POOL_MAX,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  // an idle connection that breaks is replaced at the next query; unhandled it would end the process
  pool.on('error', () => undefined);
  return {
    query: (text, values) => run(pool, text, values),
    transaction: (work) => transact(pool, work),
    close: () => pool.end(),
  };
}

async function run<Row>(
  on: Pool | PoolClient,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  try {
    const result = await on.query(text, [...values]);
    return result.rows as Row[];
  } catch (error) {
    throw translate(error);
  }
}

async function transact<T>(pool: Pool, work: (sql: Sql) => Promise<T>): Promise<T> {
  const client = await pool.connect().catch((error: unknown) => {
    throw translate(error);
  });
  let broken: Error | undefined;
  try {
    await client.query('BEGIN');
    const result = await work({ query: (text, values) => run(client, text, values) });
    await client.query('COMMIT');
    return result;
  } catch (thrown) {
    const error = translate(thrown);
    if (isAppError(error) && error.code === 'DEPENDENCY_UNAVAILABLE') {
      broken = error; // to close the connection ends the transaction, and nobody waits once more
    } else {
      await client.query('ROLLBACK').catch((cause: unknown) => {
        broken = cause instanceof Error ? cause : new Error('rollback failed');
      });
    }
    throw error;
  } finally {
    client.release(broken);
  }
}

/** What pg says, without a code, of a server that is there and does not answer. */
const NO_ANSWER =
  /timeout exceeded when trying to connect|Query read timeout|Connection terminated/;

/** A NUL in a text, a NUL or half of a surrogate pair in JSON: Postgres stores neither. */
const UNSTORABLE = new Set(['22021', '22P05']);

/**
 * Connection failures become DEPENDENCY_UNAVAILABLE, a full disk STORAGE_FULL, a text that cannot
 * be stored INVALID_ARGUMENT; the rest stays.
 */
function translate(error: unknown): unknown {
  const code = errorCode(error);
  const text = error instanceof Error ? error.message : '';
  if (code === '53100') {
    return new AppError('STORAGE_FULL', 'Postgres has no space left on its disk.', {
      cause: error,
    });
  }
  if (UNSTORABLE.has(code) || /invalid input syntax for type json/.test(text)) {
    const message = 'A text holds a NUL or half a character, which cannot be stored: take it out.';
    return new AppError('INVALID_ARGUMENT', message, { cause: error });
  }
  if (UNAVAILABLE.has(code) || NO_ANSWER.test(text)) {
    return new AppError('DEPENDENCY_UNAVAILABLE', 'Postgres does not answer.', { cause: error });
  }
  return error;
}

/** The SQLSTATE or node code of an error, '' if it has none. By its shape: jest has other realms. */
export function errorCode(error: unknown): string {
  if (error === null || typeof error !== 'object' || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}
