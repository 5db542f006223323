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
/** Bytes whose digest was learnt while they arrived; nobody sees them before `publish`. */
export interface ReceivedBytes extends PutOptions {
  readonly publish: (key: string) => Promise<void>;
  /** Frees the space; harmless after `publish`. */
  readonly discard: () => Promise<void>;
}
/** What a signed URL allows. */
export type SignedRight =
  | { readonly method: 'GET'; readonly key: string }
  | (PutOptions & { readonly method: 'PUT'; readonly key: string });
/** A signed URL as it comes back in a request. */
export interface PresentedUrl {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
}

/**
 * Content-addressed bytes of one installation: objects are immutable, named by
 * storage/objects/keys.ts, verified on the way in. Two drivers: directory and S3.
 */
export interface ObjectStore {
  /**
   * Stores the stream under the key, or leaves nothing: CHECKSUM_MISMATCH on other bytes,
   * STORAGE_FULL on a full disk. After an error the rest of the stream is its owner's to drain.
   */
  put(key: string, body: Readable, options: PutOptions): Promise<void>;
  /** Takes a stream of unknown digest; `publish` or `discard` it. */
  receive(body: Readable): Promise<ReceivedBytes>;
  /** The bytes, or undefined if there is no such object. A range past the end gives what is there. */
  get(key: string, range?: ByteRange): Promise<Readable | undefined>;
  /** Size in bytes, or undefined. */
  head(key: string): Promise<number | undefined>;
  delete(key: string): Promise<void>;
  /** URLs that carry their own right, valid for `expiresSeconds` (at most 900). */
  signPut(key: string, options: PutOptions & { expiresSeconds: number }): Promise<SignedUpload>;
  signGet(key: string, options: { expiresSeconds: number }): Promise<string>;
  /**
   * Set if the URLs point to our own `/objects/…`, which then serves the bytes: the right that a
   * URL carries, PERMISSION_DENIED if it was changed or has expired.
   */
  readonly verifyUrl?: (url: PresentedUrl) => SignedRight;
}
