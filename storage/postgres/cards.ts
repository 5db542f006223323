import type { Card } from '../../schemas/cards';
import type { AttemptKey } from './attempts';
import type { Sql } from './client';
import type { StepKey } from './steps';

/** A card and where its bytes are. */
export interface StoredCard extends Card {
  readonly digest: string;
}

const UPSERT = `
INSERT INTO cards (project_id, run_id, step_key, attempt, name, digest, size_bytes)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (run_id, step_key, attempt, name) DO UPDATE SET
  digest = excluded.digest, size_bytes = excluded.size_bytes, updated_at = now()`;
const COUNT_OTHERS = `
SELECT count(*) AS count FROM cards
WHERE project_id = $1 AND run_id = $2 AND step_key = $3 AND attempt = $4 AND name <> $5`;
// those of a step whose result was there already are the cards of the step that did the work
const LIST = `
SELECT c.attempt, c.name, c.digest, c.size_bytes AS "sizeBytes",
  to_char(c.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "updatedAt"
FROM steps s JOIN cards c ON c.project_id = s.project_id
  AND c.run_id = coalesce(s.reused_run_id, s.run_id)
  AND c.step_key = coalesce(s.reused_step_key, s.key)
WHERE s.project_id = $1 AND s.run_id = $2 AND s.key = $3
  AND ($4::int IS NULL OR c.attempt = $4) AND ($5::text IS NULL OR c.name = $5)
ORDER BY c.attempt DESC, c.name
LIMIT $6`;

/** Replaces a card of an attempt, or adds it. */
export async function upsertCard(
  sql: Sql,
  card: AttemptKey & Pick<StoredCard, 'name' | 'digest' | 'sizeBytes'>,
): Promise<void> {
  const { projectId, runId, stepKey, attempt, name, digest, sizeBytes } = card;
  await sql.query(UPSERT, [projectId, runId, stepKey, attempt, name, digest, sizeBytes]);
}

/** How many cards an attempt has besides the one of this name. */
export async function countOtherCards(
  sql: Sql,
  card: AttemptKey & { readonly name: string },
): Promise<number> {
  const values = [card.projectId, card.runId, card.stepKey, card.attempt, card.name];
  const [row] = await sql.query<{ readonly count: number }>(COUNT_OTHERS, values);
  return row?.count ?? 0;
}

/** Which cards of a step, at most `limit`; all attempts and names unless told. */
export interface CardQuery extends StepKey {
  readonly attempt?: number | undefined;
  readonly name?: string | undefined;
  readonly limit: number;
}

/** The cards of a step, those of the newest attempt first. */
export function listCards(sql: Sql, query: CardQuery): Promise<StoredCard[]> {
  const { projectId, runId, stepKey, attempt = null, name = null, limit } = query;
  return sql.query<StoredCard>(LIST, [projectId, runId, stepKey, attempt, name, limit]);
}
