import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { AppError } from '../../errors/app-error';
import { errorCode } from '../postgres/client';
import type { ByteRange, ObjectStore, PutOptions } from './store';

export interface DirectoryStoreOptions {
  readonly root: string;
  /** Where the api serves `/objects/…`. */
  readonly baseUrl: string;
  readonly signingKey: string;
}
/** A key is `<project>/cas/sha256/ab/cd/<digest>`: no dots, so no way out of the root. */
const KEY = /^[a-z0-9_-]+(\/[a-z0-9_-]+)*$/;

/** Objects as files: written beside, synced, renamed into place; never half there. */
export function openDirectoryStore(options: DirectoryStoreOptions): ObjectStore {
  const pathOf = (key: string): string => join(options.root, assertKey(key));
  return {
    put: (key, body, put) => putFile(options.root, pathOf(key), { body, put }),
    get: async (key, range) => readFile(pathOf(key), range),
    head: async (key) => sizeOf(pathOf(key)),
    delete: (key) => rm(pathOf(key), { force: true }),
    signPut: async (key, put) => {
      const right = { method: 'PUT', key, digest: put.digest, sizeBytes: put.sizeBytes } as const;
      const url = signUrl(options, right, put.expiresSeconds);
      return Promise.resolve({ url, headers: { 'content-type': 'application/octet-stream' } });
    },
    signGet: async (key, get) =>
      Promise.resolve(signUrl(options, { method: 'GET', key }, get.expiresSeconds)),
  };
}

function assertKey(key: string): string {
  if (!KEY.test(key)) throw new AppError('INVALID_ARGUMENT', 'The key of the object is not valid.');
  return key;
}

async function putFile(
  root: string,
  path: string,
  { body, put }: { readonly body: Readable; readonly put: PutOptions },
): Promise<void> {
  const temporary = await openTemporary(root);
  try {
    const written = await writeHashed(temporary.file, body);
    if (written.digest !== put.digest || written.sizeBytes !== put.sizeBytes) {
      const message = `Expected ${put.sizeBytes} bytes with SHA-256 ${put.digest}, got ${written.sizeBytes} with ${written.digest}.`;
      throw new AppError('CHECKSUM_MISMATCH', message);
    }
    await publish(temporary, path);
  } catch (error) {
    throw translate(error);
  } finally {
    await temporary.file.close().catch(() => undefined);
    await rm(temporary.path, { force: true });
  }
}

interface Temporary {
  readonly file: FileHandle;
  readonly path: string;
}

async function openTemporary(root: string): Promise<Temporary> {
  const folder = join(root, '.incoming');
  await mkdir(folder, { recursive: true });
  const path = join(folder, crypto.randomUUID());
  return { path, file: await open(path, 'wx') };
}

async function writeHashed(
  file: FileHandle,
  body: Readable,
): Promise<{ digest: string; sizeBytes: number }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
    await file.writeFile(chunk); // appends at the file's position
  }
  return { digest: hash.digest('hex'), sizeBytes };
}

/** Makes the file visible under its name only once it is on the disk. */
async function publish(temporary: Temporary, path: string): Promise<void> {
  await temporary.file.sync();
  await mkdir(dirname(path), { recursive: true });
  await rename(temporary.path, path);
  const folder = await open(dirname(path), 'r');
  await folder.sync().finally(() => folder.close());
}

async function readFile(path: string, range?: ByteRange): Promise<Readable | undefined> {
  if ((await sizeOf(path)) === undefined) return undefined;
  return range === undefined
    ? createReadStream(path)
    : createReadStream(path, { start: range.start, end: range.end - 1 });
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function translate(error: unknown): unknown {
  const code = errorCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new AppError('STORAGE_FULL', 'The disk of the object store is full.', { cause: error });
  }
  if (code === 'EIO' || code === 'EROFS') {
    const message = 'The disk of the object store refuses writes.';
    return new AppError('STORAGE_FAILED', message, { cause: error });
  }
  return error;
}

/** What a signed URL allows. */
export type SignedRight =
  | { readonly method: 'GET'; readonly key: string }
  | { readonly method: 'PUT'; readonly key: string; readonly digest: string; readonly sizeBytes: number };

function signUrl(options: DirectoryStoreOptions, right: SignedRight, expiresSeconds: number): string {
  const expires = Math.floor(Date.now() / 1000) + expiresSeconds;
  const query = new URLSearchParams({ expires: String(expires) });
  if (right.method === 'PUT') {
    query.set('digest', right.digest);
    query.set('size', String(right.sizeBytes));
  }
  query.set('sig', signature(options.signingKey, right, expires));
  return `${options.baseUrl}/objects/${assertKey(right.key)}?${query.toString()}`;
}

function signature(signingKey: string, right: SignedRight, expires: number): string {
  const size = right.method === 'PUT' ? [right.digest, right.sizeBytes] : [];
  const text = JSON.stringify([right.method, right.key, expires, ...size]);
  return createHmac('sha256', signingKey).update(text).digest('hex');
}

/** The right that a URL carries; PERMISSION_DENIED if it was changed or has expired. */
export function verifySignedUrl(
  signingKey: string,
  url: { readonly method: string; readonly key: string; readonly query: URLSearchParams },
): SignedRight {
  const expires = Number(url.query.get('expires'));
  const right: SignedRight =
    url.method === 'PUT'
      ? {
          method: 'PUT',
          key: assertKey(url.key),
          digest: url.query.get('digest') ?? '',
          sizeBytes: Number(url.query.get('size')),
        }
      : { method: 'GET', key: assertKey(url.key) };
  const expected = Buffer.from(signature(signingKey, right, expires));
  const given = Buffer.from(url.query.get('sig') ?? '');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new AppError('PERMISSION_DENIED', 'The signature of this URL is not valid.');
  }
  if (expires * 1000 < Date.now()) {
    throw new AppError('PERMISSION_DENIED', 'This URL has expired: ask for a new one.');
  }
  return right;
}

/** Takes a stream of unknown digest into a temporary file, for `adopt` or `discard`. */
export async function receive(
  root: string,
  body: Readable,
): Promise<{
  readonly digest: string;
  readonly sizeBytes: number;
  open(): Readable;
  discard(): Promise<void>;
}> {
  const temporary = await openTemporary(root);
  const discard = async (): Promise<void> => {
    await temporary.file.close().catch(() => undefined);
    await rm(temporary.path, { force: true });
  };
  try {
    const written = await writeHashed(temporary.file, body);
    return { ...written, open: () => createReadStream(temporary.path), discard };
  } catch (error) {
    await discard();
    throw translate(error);
  }
}
