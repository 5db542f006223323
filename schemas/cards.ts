import { z } from 'zod';

/** A page that a person reads, not a store of data: artifacts are for those. */
export const CARD_BYTES_MAX = 1024 * 1024;
/** Of one attempt; more would not be looked through. */
export const CARDS_MAX = 10;

/** A file name that is safe everywhere; its end says what the card is. */
export const CardName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,94}\.(md|json)$/,
    'must be up to 100 letters, digits, dots, - and _, and end with .md or .json',
  );

/** Body of POST /api/v1/attempts/self/cards: replaces the attempt's card of that name. */
export const WriteCard = z.strictObject({ name: CardName, text: z.string() });
export type WriteCard = z.infer<typeof WriteCard>;

/** A card without its text. */
export const Card = z.object({
  attempt: z.number().int(),
  name: CardName,
  sizeBytes: z.number().int(),
  updatedAt: z.iso.datetime(),
});
export type Card = z.infer<typeof Card>;

/** True for the text of a card that is to be JSON and is. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
