import type { z } from 'zod';
import { AppError } from '../errors/app-error';

/** The last row of a page, as opaque text for the next request. */
export function writePageToken(cursor: unknown): string {
  return Buffer.from(JSON.stringify(cursor)).toString('base64url');
}

/** The cursor inside a token, or undefined without one; INVALID_ARGUMENT on anything else. */
export function readPageToken<T>(token: string | undefined, schema: z.ZodType<T>): T | undefined {
  if (token === undefined || token === '') return undefined;
  try {
    const bytes = Buffer.from(token, 'base64url'); // passes over what is not base64url
    if (bytes.toString('base64url') !== token) throw new Error('not base64url');
    return schema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    throw new AppError(
      'INVALID_ARGUMENT',
      'Invalid page token: use the one of the page before, unchanged.',
    );
  }
}

/** A page and the token behind it: `rows` holds one row more than `limit` if there is another page. */
export function toPage<Row>(
  rows: readonly Row[],
  limit: number,
  cursorOf: (row: Row) => unknown,
): { readonly page: readonly Row[]; readonly nextPageToken: string | undefined } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const more = rows.length > limit && last !== undefined;
  return { page, nextPageToken: more ? writePageToken(cursorOf(last)) : undefined };
}
