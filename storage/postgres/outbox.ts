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
