import type { Sql } from './client';

/** Begins the outbox row of a statement: an event exists exactly if its change was committed. */
export const INSERT_OUTBOX = 'INSERT INTO outbox (project_id, topic, body)';

/** An event that waits to be delivered. */
export interface OutboxEvent {
  readonly id: number;
  readonly topic: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const LIST = `
SELECT id, topic, body FROM outbox
WHERE project_id = $1 AND topic = $2
ORDER BY id
LIMIT $3`;

/** The oldest waiting events of a topic. */
export async function listOutbox(
  sql: Sql,
  wanted: { readonly projectId: string; readonly topic: string; readonly limit: number },
): Promise<OutboxEvent[]> {
  return sql.query<OutboxEvent>(LIST, [wanted.projectId, wanted.topic, wanted.limit]);
}

/** An event that this transaction has taken; it is another's again if the transaction fails. */
export interface TakenEvent extends OutboxEvent {
  readonly projectId: string;
  readonly at: Date;
}
// others pass over what somebody is at
const TAKE = `
SELECT id, project_id AS "projectId", topic, body, at FROM outbox
WHERE topic = ANY ($1)
ORDER BY id
LIMIT 1
FOR UPDATE SKIP LOCKED`;
const DELETE = 'DELETE FROM outbox WHERE id = $1';

/** Takes the oldest event of these topics that nobody else is at. */
export async function takeEvent(
  sql: Sql,
  topics: readonly string[],
): Promise<TakenEvent | undefined> {
  return (await sql.query<TakenEvent>(TAKE, [topics]))[0];
}

/** Removes an event that was delivered. */
export async function deleteEvent(sql: Sql, id: number): Promise<void> {
  await sql.query(DELETE, [id]);
}
