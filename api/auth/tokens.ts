import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

export type TokenKind = 'user' | 'node' | 'attempt' | 'hook';
/** The text is shown once; only its SHA-256 is stored. */
export interface NewToken {
  readonly text: string;
  readonly hash: Buffer;
}

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const BASE = ALPHABET.length;
/** 30 digits of base 62 are 178 bits: too many to guess, so a plain fast hash may be stored. */
const RANDOM_CHARS = 30;
/** 62^6 > 2^32: every CRC-32 fits. */
const CHECKSUM_CHARS = 6;
/** Bytes from here on are thrown away: 248 is the largest multiple of 62 in a byte (no bias). */
const BYTE_LIMIT = 248;
const FORM = /^(anl_(user|node|attempt|hook)_[0-9A-Za-z]{30})_([0-9A-Za-z]{6})$/;

/**
 * A new token `anl_<kind>_<30 base62>_<crc32>`. The prefix lets secret scanners find it, the
 * checksum lets anyone tell a mistyped one without a database.
 */
export function createToken(kind: TokenKind): NewToken {
  const body = `anl_${kind}_${randomText(RANDOM_CHARS)}`;
  const text = `${body}_${checksum(body)}`;
  return { text, hash: hashToken(text) };
}

/** The kind of a token whose form and checksum hold; undefined for any other text. */
export function parseToken(text: string): { readonly kind: TokenKind } | undefined {
  const match = FORM.exec(text);
  const [, body, kind, sum] = match ?? [];
  if (body === undefined || checksum(body) !== sum) return undefined;
  return { kind: kind as TokenKind };
}

/** SHA-256 of the text: what the database holds and is asked for. */
export function hashToken(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function randomText(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < BYTE_LIMIT && text.length < length) text += ALPHABET.charAt(byte % BASE);
    }
  }
  return text;
}

function checksum(body: string): string {
  let rest = crc32(body);
  let text = '';
  for (let i = 0; i < CHECKSUM_CHARS; i += 1) {
    text = ALPHABET.charAt(rest % BASE) + text;
    rest = Math.floor(rest / BASE);
  }
  return text;
}
