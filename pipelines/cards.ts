import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { AppError, found, requireArgument } from '../errors/app-error';
import { CARD_BYTES_MAX, CARDS_MAX, isJson } from '../schemas/cards';
import type { Card, WriteCard } from '../schemas/cards';
import { objectKey } from '../storage/objects/keys';
import type { AttemptKey } from '../storage/postgres/attempts';
import { countOtherCards, listCards as readCards, upsertCard } from '../storage/postgres/cards';
import type { CardQuery, StoredCard } from '../storage/postgres/cards';
import { insertObjects, selectObjects } from '../storage/postgres/objects';
import { lockStepOfRun } from '../storage/postgres/runs';
import { findStep, type StepKey } from '../storage/postgres/steps';
import { assertNewestAttempt } from '../tracker/adoption';
import type { ObjectDeps } from '../tracker/objects';

/** Of many attempts the newest are of interest. */
const LISTED_MAX = 200;

/**
 * Keeps a card of an attempt in place of the one before. TOO_LARGE above 1 MiB or for an eleventh
 * card, INVALID_ARGUMENT for a .json that is none, ATTEMPT_SUPERSEDED if a newer attempt has begun.
 */
export async function writeCard(
  deps: ObjectDeps,
  input: { readonly attempt: AttemptKey; readonly card: WriteCard },
): Promise<void> {
  const { attempt, card } = input;
  const { name } = card;
  const bytes = toBytes(card);
  const at = { ...attempt, pipelineRunId: attempt.runId };
  await assertNewestAttempt(deps.postgres, at); // before anything is stored
  const digest = await storeBytes(deps, attempt.projectId, bytes);
  await deps.postgres.transaction(async (sql) => {
    await lockStepOfRun(sql, at); // two new cards at once must not both be the tenth
    await assertNewestAttempt(sql, at);
    if ((await countOtherCards(sql, { ...attempt, name })) >= CARDS_MAX) {
      const message = `The attempt has ${CARDS_MAX} cards, which is the limit: '${name}' is not kept.`;
      throw new AppError('TOO_LARGE', message);
    }
    await upsertCard(sql, { ...attempt, name, digest, sizeBytes: bytes.length });
  });
}

function toBytes({ name, text }: WriteCard): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length > CARD_BYTES_MAX) {
    const message = `The card '${name}' has ${bytes.length} bytes; at most ${CARD_BYTES_MAX} are kept.`;
    throw new AppError('TOO_LARGE', message);
  }
  if (name.endsWith('.json')) {
    requireArgument(isJson(text), `The card '${name}' is not valid JSON.`);
  }
  return bytes;
}

/** Puts the bytes into the store unless the project holds them; gives their digest. */
async function storeBytes(deps: ObjectDeps, projectId: string, bytes: Buffer): Promise<string> {
  const digest = createHash('sha256').update(bytes).digest('hex');
  const known = await selectObjects(deps.postgres, { projectId, digests: [digest] });
  if (known.length > 0) return digest;
  const object = { digest, sizeBytes: bytes.length };
  await deps.objects.put(objectKey(projectId, digest), Readable.from([bytes]), object);
  await insertObjects(deps.postgres, { projectId, objects: [object] });
  return digest;
}

/** The cards of a step, those of the newest attempt first, 200 at most; NOT_FOUND without such a step. */
export async function listCards(
  deps: Pick<ObjectDeps, 'postgres'>,
  query: Omit<CardQuery, 'limit' | 'name'>,
): Promise<Card[]> {
  await requireStep(deps, query);
  const cards = await readCards(deps.postgres, { ...query, limit: LISTED_MAX });
  return cards.map(({ attempt, name, sizeBytes, updatedAt }) => ({
    ...{ attempt, name, sizeBytes, updatedAt },
  }));
}

/** One card with its bytes, of the newest attempt that wrote it unless told; NOT_FOUND if none did. */
export async function getCard(
  deps: ObjectDeps,
  query: Omit<CardQuery, 'limit'> & { readonly name: string },
): Promise<{ readonly card: StoredCard; readonly body: Readable }> {
  await requireStep(deps, query);
  const [first] = await readCards(deps.postgres, { ...query, limit: 1 });
  const card = found(first, 'card', query.name);
  const body = await deps.objects.get(objectKey(query.projectId, card.digest));
  return { card, body: found(body, 'object', card.digest) };
}

async function requireStep(deps: Pick<ObjectDeps, 'postgres'>, key: StepKey): Promise<void> {
  found(await findStep(deps.postgres, key), 'step', `${key.runId}/${key.stepKey}`);
}
