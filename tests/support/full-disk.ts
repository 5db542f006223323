// Run in a mount namespace of its own with a 1 MiB disk: `full-disk.ts <directory|s3> <folder>`.
// Stores what does not fit, then what does, and prints what happened.
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { isAppError } from '../../errors/app-error';
import { openDirectoryStore } from '../../storage/objects/directory';
import { objectKey } from '../../storage/objects/keys';
import { openS3Store } from '../../storage/objects/s3';
import type { ObjectStore, PutOptions } from '../../storage/objects/store';
import { startS3 } from './versitygw';

/** What the script prints, as one line of JSON. */
export interface FullDiskReport {
  readonly failure: string; // code of the error, '' if there was none
  readonly fileSizes: readonly number[]; // of all files left below the folder
  readonly large: number | null; // head of what did not fit
  readonly small: number | null; // head of what was stored afterwards
  readonly received: string; // code of the error of a stream of unknown digest
}

const large = Buffer.alloc(2 * 1024 * 1024, 1);
const small = Buffer.from('this fits');

function describe(bytes: Buffer): PutOptions {
  return { digest: createHash('sha256').update(bytes).digest('hex'), sizeBytes: bytes.length };
}
function chunks(bytes: Buffer): Readable {
  const list: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 65_536) list.push(bytes.subarray(at, at + 65_536));
  return Readable.from(list);
}
async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return '';
  } catch (error) {
    return isAppError(error) ? error.code : String(error);
  }
}

async function report(store: ObjectStore, folder: string): Promise<FullDiskReport> {
  const [largeIs, smallIs] = [describe(large), describe(small)];
  const largeKey = objectKey('default', largeIs.digest);
  const failure = await codeOf(store.put(largeKey, chunks(large), largeIs));
  const received = await codeOf(store.receive(chunks(large)));
  const fileSizes = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => statSync(join(folder, name)))
    .filter((info) => info.isFile())
    .map((info) => info.size);
  const smallKey = objectKey('default', smallIs.digest);
  await store.put(smallKey, chunks(small), smallIs);
  const heads = [await store.head(largeKey), await store.head(smallKey)];
  return { failure, received, fileSizes, large: heads[0] ?? null, small: heads[1] ?? null };
}

async function main(driver: string, folder: string): Promise<void> {
  const server = driver === 's3' ? await startS3(folder) : undefined;
  const store =
    server === undefined
      ? openDirectoryStore({ root: folder, baseUrl: 'http://x', signingKey: 'k'.repeat(32) })
      : openS3Store({ ...server.options, spoolDir: join(folder, 'spool') });
  const result = await report(store, folder);
  await server?.stop();
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

const [driver = '', folder = ''] = process.argv.slice(2);
void main(driver, folder);
