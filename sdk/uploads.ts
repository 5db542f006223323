import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { mkdtemp, open, readdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { Readable } from 'node:stream';
import { AppError } from '../errors/app-error';
import type { Manifest, UploadPlan } from '../schemas/artifacts';
import { reach } from './http';
import type { Http } from './http';

/** A file on this machine with its digest. */
export interface LocalFile {
  readonly path: string; // relative, POSIX
  readonly file: string; // on this machine
  readonly digest: string;
  readonly sizeBytes: number;
}
/** More do not make an upload faster, and each holds a connection. */
const UPLOADS_AT_ONCE = 4;

/**
 * Opens a file for reading, one of the user `owner` only if that is given: a caller with more rights
 * than whoever chose the path could be led elsewhere by a link. INVALID_ARGUMENT for any other file.
 */
export async function openOwned(file: string, owner?: number): Promise<FileHandle> {
  // a pipe would wait for whoever writes into it
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const info = await handle.stat();
  const problem = !info.isFile()
    ? 'is not a file'
    : owner !== undefined && info.uid !== owner
      ? `belongs to user ${info.uid}, not to ${owner} who runs the step: write a copy instead of a link`
      : undefined;
  if (problem === undefined) return handle;
  await handle.close();
  throw new AppError('INVALID_ARGUMENT', `${file} ${problem}.`);
}

/** SHA-256 of a file, read as a stream; `owner` as for openOwned. */
export async function hashFile(file: string, owner?: number): Promise<string> {
  return (await digestFile(file, owner)).digest;
}

async function digestFile(
  file: string,
  owner: number | undefined,
): Promise<{ readonly digest: string; readonly sizeBytes: number }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const handle = await openOwned(file, owner);
  const { size } = await handle.stat();
  for await (const chunk of handle.createReadStream()) {
    sizeBytes += (chunk as Buffer).length;
    hash.update(chunk as Buffer);
  }
  if (sizeBytes === size) return { digest: hash.digest('hex'), sizeBytes };
  if (size > 0) throw new AppError('CHECKSUM_MISMATCH', `${file} was changed while it was read.`);
  // what the kernel makes while it is read (/proc): nobody could say how long the upload will be
  const message = `${file} says that it is empty but holds ${sizeBytes} bytes: write an ordinary file.`;
  throw new AppError('INVALID_ARGUMENT', message);
}

export interface DescribeOptions {
  /** As for openOwned. */
  readonly owner?: number | undefined;
  /** Hears of what is left out: links to folders inside, pipes, sockets. */
  readonly note?: (text: string) => void;
}

/**
 * The files of a folder, or the one file, each hashed. A link to a file inside is that file;
 * INVALID_ARGUMENT for one that leads out of the folder or nowhere.
 */
export async function describeFiles(
  root: string,
  { owner, note = () => undefined }: DescribeOptions = {},
): Promise<LocalFile[]> {
  const info = await stat(root);
  const names = info.isDirectory() ? await filesBelow(await realpath(root), '', note) : [''];
  const files: LocalFile[] = [];
  for (const name of names.sort()) {
    const file = name === '' ? root : join(root, name);
    const path = name === '' ? (root.split('/').at(-1) ?? root) : name;
    files.push({ path, file, ...(await digestFile(file, owner)) });
  }
  return files;
}

async function filesBelow(
  root: string,
  folder: string,
  note: (text: string) => void,
): Promise<string[]> {
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  const found: string[] = [];
  for (const entry of entries) {
    const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) found.push(...(await filesBelow(root, name, note)));
    else if (entry.isFile()) found.push(name);
    else if (entry.isSymbolicLink() && (await linkedInside(root, name)) === 'file')
      found.push(name);
    else
      note(
        `${name} is not kept: it is ${entry.isSymbolicLink() ? 'a link to a folder' : 'no file'}.`,
      );
  }
  return found;
}

/** What a link below `root` stands for; INVALID_ARGUMENT if that is not inside of `root`. */
export async function linkedInside(root: string, name: string): Promise<'file' | 'other'> {
  const target = await realpath(join(root, name)).catch(() => undefined);
  const isInside = target?.startsWith((await realpath(root)) + sep) === true;
  if (target === undefined || !isInside) {
    const what = target === undefined ? 'leads nowhere' : 'leads out of the folder';
    const message = `${name} is a link that ${what}: put a copy of the file in its place.`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  return (await stat(target)).isFile() ? 'file' : 'other';
}

/** Uploads what the server does not hold yet, four at a time; returns the manifest. */
export async function uploadFiles(http: Http, files: readonly LocalFile[]): Promise<Manifest> {
  const manifest = files.map(({ path, digest, sizeBytes }) => ({ path, digest, sizeBytes }));
  const objects = manifest.map(({ digest, sizeBytes }) => ({ digest, sizeBytes }));
  const byDigest = new Map(files.map((file) => [file.digest, file]));
  const done = new Set<string>();
  await http.repeat(async () => {
    // planned anew each time: URLs live for 15 minutes only
    const missing = objects.filter(({ digest }) => !done.has(digest));
    const { uploads } = await http.post<UploadPlan>('/api/v1/objects/plan', { objects: missing });
    const waiting = [...uploads];
    const drain = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const local = byDigest.get(next.digest);
        if (local !== undefined) await uploadFile(local, next);
        done.add(next.digest);
      }
    };
    const ends = await Promise.allSettled(Array.from({ length: UPLOADS_AT_ONCE }, drain));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  });
  return manifest;
}

/** Uploads a small text or the like; the SHA-256 by which it is known. */
export async function uploadBytes(http: Http, bytes: Buffer): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'anneal-upload-'));
  try {
    const file = join(folder, 'bytes');
    await writeFile(file, bytes, { mode: 0o600 });
    const { digest, sizeBytes } = await digestFile(file, undefined);
    await uploadFiles(http, [{ path: 'bytes', file, digest, sizeBytes }]);
    return digest;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function uploadFile(local: LocalFile, upload: UploadPlan['uploads'][0]): Promise<void> {
  const isSame = (await stat(local.file).catch(() => undefined))?.size === local.sizeBytes;
  if (!isSame) {
    const message = `${local.path} was changed or removed before it was uploaded.`;
    throw new AppError('CHECKSUM_MISMATCH', message);
  }
  const stream = createReadStream(local.file);
  stream.on('error', () => undefined); // fetch hears of it as well
  try {
    const { isOk, status, text } = await reach(upload.url, {
      method: 'PUT',
      headers: { ...upload.headers, 'content-length': String(local.sizeBytes) },
      body: Readable.toWeb(stream) as ReadableStream,
      duplex: 'half',
    });
    if (!isOk) throw refusal(local, { status, text });
  } finally {
    stream.destroy();
  }
}

/** 403 means that the URL has expired, which a new one cures. */
function refusal(local: LocalFile, answer: { status: number; text: string }): AppError {
  const { status, text } = answer;
  const message = `The upload of ${local.path} was refused (${status}): ${reasonOf(text)}`;
  if (status === 507) return new AppError('STORAGE_FULL', message);
  const mayPass = status === 403 || status === 429 || status >= 500;
  return new AppError(mayPass ? 'DEPENDENCY_UNAVAILABLE' : 'CHECKSUM_MISMATCH', message);
}

/** What the api says in its problem+json, in words; other stores (S3) are quoted. */
function reasonOf(text: string): string {
  try {
    const { detail, advice } = JSON.parse(text) as { detail?: string; advice?: string };
    if (detail !== undefined) return `${detail} ${advice ?? ''}`;
  } catch {
    // S3 answers in XML
  }
  return text.slice(0, 300);
}
