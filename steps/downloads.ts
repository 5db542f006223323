import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError, isAppError } from '../errors/app-error';
import type { Download } from '../schemas/attempts';
import type { Http } from '../sdk/http';
import { inParallel } from '../sdk/parallel';
import { hashFile } from '../sdk/uploads';

/** As for uploads: more do not make it faster, and each holds a connection. */
const DOWNLOADS_AT_ONCE = 4;

/** Who downloads: the api to ask for fresh URLs, and a signal that ends it. */
export interface Downloader {
  readonly http: Http;
  readonly signal: AbortSignal;
}
/** Bytes behind a URL. */
export interface Source {
  readonly url: string;
  readonly digest: string;
}

/** Fetches a file and makes sure that it has its digest; visible only when whole. */
export async function fetchFile(
  { signal }: Downloader,
  { url, digest }: Source,
  target: string,
): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const temporary = `${target}.${crypto.randomUUID()}.partial`;
  const hash = createHash('sha256');
  try {
    const body = await openDownload(url, signal);
    const tap = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        done(null, chunk);
      },
    });
    await pipeline(asUnavailable(body), tap, createWriteStream(temporary));
    if (hash.digest('hex') !== digest) {
      throw new AppError('CHECKSUM_MISMATCH', `The download of ${digest} has other bytes.`);
    }
    await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function openDownload(url: string, signal: AbortSignal): Promise<Readable> {
  const response = await fetch(url, { signal }).catch((cause: unknown) => {
    throw new AppError('DEPENDENCY_UNAVAILABLE', 'A download cannot be reached.', { cause });
  });
  const { status, body } = response;
  if (response.ok && body !== null) return Readable.fromWeb(body as never);
  await body?.cancel();
  // 403 is a URL that has expired, which a new one cures
  const isGone = status === 404;
  const code = isGone ? 'NOT_FOUND' : 'DEPENDENCY_UNAVAILABLE';
  throw new AppError(code, `A download was refused (${status}).`);
}

/** A connection that breaks in the middle may hold the next time. */
async function* asUnavailable(body: Readable): AsyncGenerator {
  try {
    yield* body;
  } catch (cause) {
    throw new AppError('DEPENDENCY_UNAVAILABLE', 'A download broke off.', { cause });
  }
}

/**
 * All files of an artifact in a folder; those that are there and right are kept. Repeats with fresh
 * URLs as patiently as `http`. Returns the path: the folder, or the one file of a kind `file`.
 */
export async function fetchArtifact(
  downloader: Downloader,
  download: Download,
  folder: string,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const { http } = downloader;
  let files: Download['files'] | undefined = download.files;
  await http.repeat(async () => {
    const path = `/api/v1/artifacts/${download.artifactId}`;
    const wanted = files ?? (await http.get<Download>(path)).files;
    files = undefined; // after a failure: URLs live for 15 minutes only
    await inParallel(wanted, DOWNLOADS_AT_ONCE, async (file) => {
      const target = inside(folder, file.path);
      if (!(await isRight(target, file.digest))) await fetchFile(downloader, file, target);
    });
  });
  const [only] = download.files;
  const isSingle = download.files.length === 1 && only !== undefined && !only.path.includes('/');
  return isSingle && ['file', 'pipeline'].includes(download.kind)
    ? join(folder, only.path)
    : folder;
}

/** True if the bytes themselves are at fault, so that asking again does not help. */
export function isUnusable(error: unknown): boolean {
  const codes = ['CHECKSUM_MISMATCH', 'NOT_FOUND', 'INVALID_ARGUMENT'];
  return isAppError(error) && codes.includes(error.code);
}

function inside(folder: string, path: string): string {
  const target = resolve(folder, path);
  if (target.startsWith(resolve(folder) + sep)) return target;
  const message = `The artifact holds the path '${path}', which leads outside.`;
  throw new AppError('INVALID_ARGUMENT', message);
}

async function isRight(file: string, digest: string): Promise<boolean> {
  const info = await stat(file).catch(() => undefined);
  return info?.isFile() === true && (await hashFile(file)) === digest;
}
