/** What Postgres cannot keep in text or JSON: NUL, and halves of a character. */
const UNSTORABLE = /\0|\p{Surrogate}/u;

/** True if Postgres can keep a value as JSON: all of its keys and texts. */
export function isStorable(value: unknown): boolean {
  if (typeof value === 'string') return !UNSTORABLE.test(value);
  if (value === null || typeof value !== 'object') return true;
  return Object.entries(value).every(([key, inner]) => isStorable(key) && isStorable(inner));
}

/** A text with a mark in place of each character that cannot be kept. */
export function toStorable(text: string): string {
  return text.replace(new RegExp(UNSTORABLE, 'gu'), '\uFFFD');
}
