import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { AppError } from '../../errors/app-error';
import { errorCode } from '../postgres/client';
import { hashed } from './hashing';
import type { PutOptions } from './store';

/** No upload takes a day: what is older was left by a process that was killed. */
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000;

/** A complete file that nobody sees yet. */
export interface IncomingFile extends PutOptions {
  readonly path: string;
  readonly discard: () => Promise<void>;
}
/** A folder where uploads wait until all of their bytes are there. */
export interface Incoming {
  receive(body: Readable, limit?: { readonly sizeBytesMax: number }): Promise<IncomingFile>;
}

/** Opens the folder; it is made, and swept of old leftovers, at the first upload. */
export function openIncoming(folder: string): Incoming {
  let prepared = false;
  return {
    async receive(body, limit) {
      let got: PutOptions | undefined;
      const onEnd = (end: PutOptions): void => void (got = end);
      const sizeBytesMax = limit?.sizeBytesMax ?? Infinity;
      const chunks = hashed(body, { sizeBytesMax, onEnd });
      const path = join(folder, crypto.randomUUID());
      const discard = (): Promise<void> => rm(path, { force: true });
      try {
        if (!prepared) await prepare(folder);
        prepared = true;
        await write(path, chunks);
        if (got === undefined) throw new Error('the stream ended without an end');
        return { ...got, path, discard };
      } catch (error) {
        await discard();
        throw diskError(error);
      }
    },
  };
}

async function prepare(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const before = Date.now() - LEFTOVER_AGE_MS;
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const info = await stat(path).catch(() => undefined); // another process may sweep as well
    if (info !== undefined && info.mtimeMs < before) await rm(path, { force: true });
  }
}

async function write(path: string, chunks: AsyncIterable<Buffer>): Promise<void> {
  const file = await open(path, 'wx');
  try {
    for await (const bytes of chunks) await file.writeFile(bytes); // goes on where it stands
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A full or broken disk in our own words; every other error stays as it is. */
export function diskError(error: unknown): unknown {
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
