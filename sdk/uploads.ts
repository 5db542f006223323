import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AppError } from '../errors/app-error';
import type { Manifest, UploadPlan } from '../schemas/artifacts';
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

/** SHA-256 of a file, read as a stream. */
export async function hashFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** The files of a folder, or the one file, each hashed; links are not followed. */
export async function describeFiles(root: string): Promise<LocalFile[]> {
  const info = await stat(root);
  const names = info.isDirectory() ? await filesBelow(root, '') : [''];
  const files: LocalFile[] = [];
  for (const name of names.sort()) {
    const file = name === '' ? root : join(root, name);
    const { size } = await stat(file);
    const path = name === '' ? (root.split('/').at(-1) ?? root) : name;
    files.push({ path, file, digest: await hashFile(file), sizeBytes: size });
  }
  return files;
}

async function filesBelow(root: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  const found: string[] = [];
  for (const entry of entries) {
    const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) found.push(...(await filesBelow(root, name)));
    else if (entry.isFile()) found.push(name);
  }
  return found;
}

/** Uploads what the server does not hold yet, four at a time; returns the manifest. */
export async function uploadFiles(http: Http, files: readonly LocalFile[]): Promise<Manifest> {
  const manifest = files.map(({ path, digest, sizeBytes }) => ({ path, digest, sizeBytes }));
  const objects = manifest.map(({ digest, sizeBytes }) => ({ digest, sizeBytes }));
  const { uploads } = await http.post<UploadPlan>('/api/v1/objects/plan', { objects });
  const byDigest = new Map(files.map((file) => [file.digest, file]));
  const waiting = [...uploads];
  const drain = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const local = byDigest.get(next.digest);
      if (local !== undefined) await uploadFile(local, next);
    }
  };
  await Promise.all(Array.from({ length: UPLOADS_AT_ONCE }, drain));
  return manifest;
}

async function uploadFile(local: LocalFile, upload: UploadPlan['uploads'][0]): Promise<void> {
  const handle = await open(local.file);
  try {
    const response = await fetch(upload.url, {
      method: 'PUT',
      headers: { ...upload.headers, 'content-length': String(local.sizeBytes) },
      body: handle.readableWebStream() as ReadableStream,
      duplex: 'half',
    } as RequestInit);
    if (response.ok) return;
    const text = (await response.text()).slice(0, 300);
    const message = `The upload of ${local.path} was refused (${response.status}): ${text}`;
    throw new AppError(response.status === 507 ? 'STORAGE_FULL' : 'CHECKSUM_MISMATCH', message);
  } finally {
    await handle.close().catch(() => undefined);
  }
}
