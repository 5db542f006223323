import { createHash } from 'node:crypto';
import { constants, createWriteStream } from 'node:fs';
import { cp, mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar';
import { AppError } from '../errors/app-error';
import type { Download } from '../schemas/attempts';
import { hashFile } from '../sdk/uploads';

/** Fetches a file and makes sure that it has its digest; visible only when whole. */
export async function fetchFile(url: string, digest: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}.${Date.now()}.partial`;
  const hash = createHash('sha256');
  try {
    const response = await fetch(url);
    if (!response.ok || response.body === null) {
      throw new AppError('DEPENDENCY_UNAVAILABLE', `A download was refused (${response.status}).`);
    }
    const tap = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        done(null, chunk);
      },
    });
    await pipeline(Readable.fromWeb(response.body as never), tap, createWriteStream(temporary));
    if (hash.digest('hex') !== digest) {
      throw new AppError('CHECKSUM_MISMATCH', `The download of ${digest} has other bytes.`);
    }
    await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** All files of an artifact in a folder; those that are there and right are kept. Returns its path. */
export async function fetchArtifact(download: Download, folder: string): Promise<string> {
  for (const { path, digest, url } of download.files) {
    const target = inside(folder, path);
    if (!(await isRight(target, digest))) await fetchFile(url, digest, target);
  }
  // an artifact that is one file stands for that file, a folder for all of them
  const [only] = download.files;
  const single = download.files.length === 1 && only !== undefined && !only.path.includes('/');
  return single && download.kind === 'file' ? join(folder, only.path) : folder;
}

function inside(folder: string, path: string): string {
  const target = resolve(folder, path);
  if (target.startsWith(resolve(folder) + sep)) return target;
  throw new AppError(
    'INVALID_ARGUMENT',
    `The artifact holds the path '${path}', which leads outside.`,
  );
}

async function isRight(file: string, digest: string): Promise<boolean> {
  const info = await stat(file).catch(() => undefined);
  return info?.isFile() === true && (await hashFile(file)) === digest;
}

/** Unpacks a code bundle once per digest; returns its folder, never written to by steps. */
export async function fetchCode(
  code: { readonly digest: string; readonly url: string },
  cache: string,
): Promise<string> {
  const folder = join(cache, code.digest);
  if ((await stat(folder).catch(() => undefined))?.isDirectory() === true) return folder;
  const archive = join(cache, `${code.digest}.${process.pid}.tar.gz`);
  await fetchFile(code.url, code.digest, archive);
  const temporary = `${folder}.${process.pid}.${Date.now()}`;
  await mkdir(temporary, { recursive: true });
  // tar refuses absolute paths, '..' and links that lead outside
  await extract({
    file: archive,
    cwd: temporary,
    strict: true,
    filter: (_, entry) => 'type' in entry && entry.type !== 'SymbolicLink' && entry.type !== 'Link',
  });
  await rename(temporary, folder).catch(async (error: unknown) => {
    await rm(temporary, { recursive: true, force: true }); // another attempt was quicker
    if ((await stat(folder).catch(() => undefined)) === undefined) throw error;
  });
  await rm(archive, { force: true });
  return folder;
}

/** A copy for one attempt: a step may write into its working folder, the cache stays as it is. */
export async function copyCode(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true, mode: constants.COPYFILE_FICLONE });
}
