import type { Postgres, Sql } from './client';

const TRY = `SELECT pg_try_advisory_xact_lock(hashtextextended('lock/' || $1, 0)) AS "isOurs"`;
const WAIT = `SELECT pg_advisory_xact_lock(hashtextextended('lock/' || $1, 0))`;

/**
 * Does the work while no other process does work under this name; false if one does. Its own
 * statements go by the pool. A process that dies loses the lock with its connection.
 */
export async function tryLock(
  postgres: Postgres,
  name: string,
  work: () => Promise<void>,
): Promise<boolean> {
  return postgres.transaction(async (sql) => {
    const [row] = await sql.query<{ isOurs: boolean }>(TRY, [name]);
    if (row?.isOurs !== true) return false;
    await work();
    return true;
  });
}

/** Waits until no other transaction holds this name; the lock ends with the transaction. */
export async function waitForLock(sql: Sql, name: string): Promise<void> {
  await sql.query(WAIT, [name]);
}
