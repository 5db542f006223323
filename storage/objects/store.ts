import type { Readable } from 'node:stream';

/** What a PUT must carry: the store refuses other bytes. */
export interface PutOptions {
  readonly digest: string; // SHA-256, 64 hex digits
  readonly sizeBytes: number;
}
export interface SignedUpload {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}
/** A half-open byte range [start, end). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Content-addressed bytes of one installation: objects are immutable, named by
 * storage/objects/keys.ts, verified on the way in. Two drivers: directory and S3.
 */
export interface ObjectStore {
  /** Stores the stream under the key; CHECKSUM_MISMATCH on other bytes, STORAGE_FULL on a full disk. */
  put(key: string, body: Readable, options: PutOptions): Promise<void>;
  /** The bytes, or undefined if there is no such object. */
  get(key: string, range?: ByteRange): Promise<Readable | undefined>;
  /** Size in bytes, or undefined. */
  head(key: string): Promise<number | undefined>;
  delete(key: string): Promise<void>;
  /** URLs that carry their own right, valid for `expiresSeconds` (at most 900). */
  signPut(key: string, options: PutOptions & { expiresSeconds: number }): Promise<SignedUpload>;
  signGet(key: string, options: { expiresSeconds: number }): Promise<string>;
}
