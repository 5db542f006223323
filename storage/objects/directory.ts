import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { errorCode } from '../postgres/client';
import { assertSame } from './hashing';
import { diskError, openIncoming } from './incoming';
import type { IncomingFile } from './incoming';
import { checkKey } from './keys';
import { signUrl, verifySignedUrl } from './signed-url';
import type { ByteRange, ObjectStore } from './store';

export interface DirectoryStoreOptions {
  readonly root: string;
  /** Where the api serves `/objects/…`. */
  readonly baseUrl: string;
  readonly signingKey: string;
}

/** Objects as files: written beside, synced, renamed into place; never half there. */
export function openDirectoryStore(options: DirectoryStoreOptions): ObjectStore {
  const pathOf = (key: string): string => join(options.root, checkKey(key));
  const incoming = openIncoming(join(options.root, '.incoming')); // no key begins with a dot
  const publish = createPublish(options.root);
  return {
    async put(key, body, expected) {
      const path = pathOf(key);
      const file = await incoming.receive(body, { sizeBytesMax: expected.sizeBytes });
      try {
        assertSame(file, expected);
        await publish(file, path);
      } finally {
        await file.discard();
      }
    },
    async receive(body) {
      const file = await incoming.receive(body);
      const { digest, sizeBytes, discard } = file;
      return { digest, sizeBytes, discard, publish: (key) => publish(file, pathOf(key)) };
    },
    get: (key, range) => readFile(pathOf(key), range),
    head: (key) => sizeOf(pathOf(key)),
    delete: (key) => rm(pathOf(key), { force: true }),
    signPut: (key, { digest, sizeBytes, expiresSeconds }) => {
      const url = signUrl(options, { method: 'PUT', key, digest, sizeBytes }, expiresSeconds);
      return Promise.resolve({ url, headers: { 'content-type': 'application/octet-stream' } });
    },
    signGet: (key, { expiresSeconds }) =>
      Promise.resolve(signUrl(options, { method: 'GET', key }, expiresSeconds)),
    verifyUrl: (url) => verifySignedUrl(options.signingKey, url),
  };
}

type Publish = (file: IncomingFile, path: string) => Promise<void>;

/** Gives a synced file its name, and makes sure that the name survives a crash as well. */
function createPublish(root: string): Publish {
  // folders whose own names are known to be on the disk: at most 65,792 for each project
  const kept = new Set<string>([root]);
  return async (file, path) => {
    const folder = dirname(path);
    try {
      await mkdir(folder, { recursive: true });
      await rename(file.path, path);
      await syncFolder(folder);
      for (let at = folder; !kept.has(at) && at.length > root.length; at = dirname(at)) {
        await syncFolder(dirname(at));
        kept.add(at);
      }
    } catch (error) {
      throw diskError(error);
    }
  };
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  await folder.sync().finally(() => folder.close());
}

async function readFile(path: string, range?: ByteRange): Promise<Readable | undefined> {
  const sizeBytes = await sizeOf(path);
  if (sizeBytes === undefined) return undefined;
  if (range === undefined) return createReadStream(path);
  const end = Math.min(range.end, sizeBytes);
  if (range.start >= end) return Readable.from([]);
  return createReadStream(path, { start: range.start, end: end - 1 }); // `end` is inclusive there
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const info = await stat(path);
    return info.isFile() ? info.size : undefined;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error))) return undefined;
    throw diskError(error);
  }
}
