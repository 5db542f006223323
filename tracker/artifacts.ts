import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { canonicalJson } from '../dag/canonical';
import { AppError, found } from '../errors/app-error';
import type { Download } from '../schemas/attempts';
import type { Manifest, PlanUploads, UploadPlan } from '../schemas/artifacts';
import { objectKey } from '../storage/objects/keys';
import type { ObjectStore } from '../storage/objects/store';
import { deleteArtifactFiles, selectArtifactFile, selectArtifactFiles, upsertArtifactFiles } from '../storage/postgres/artifact-files';
import type { ArtifactFile } from '../storage/postgres/artifact-files';
import { insertArtifact, selectArtifact } from '../storage/postgres/artifacts';
import type { ArtifactRow } from '../storage/postgres/artifacts';
import type { Postgres, Sql } from '../storage/postgres/client';
import { insertObjects, selectObjects } from '../storage/postgres/objects';
import { checkArtifactPath } from './artifact-paths';

export interface ArtifactDeps {
  readonly postgres: Postgres;
  readonly objects: ObjectStore;
}
/** Long enough for a slow upload of one object, short enough that a leaked URL soon is worthless. */
const URL_SECONDS = 15 * 60;
/** More files than this in one folder need another tool than a listing. */
const LIST_FILES_MAX = 10_000;

/** Says which objects are missing and how to upload them. Only this project's bytes count. */
export async function planUploads(
  deps: ArtifactDeps,
  input: PlanUploads & { readonly projectId: string },
): Promise<UploadPlan> {
  const { projectId, objects } = input;
  const known = await knownDigests(deps.postgres, projectId, objects);
  const missing = uniqueByDigest(objects).filter((object) => !known.has(object.digest));
  const uploads = await Promise.all(
    missing.map(async ({ digest, sizeBytes }) => {
      const key = objectKey(projectId, digest);
      const signed = await deps.objects.signPut(key, { digest, sizeBytes, expiresSeconds: URL_SECONDS });
      return { digest, url: signed.url, headers: { ...signed.headers } };
    }),
  );
  return { uploads };
}

interface Sized {
  readonly digest: string;
  readonly sizeBytes: number;
}

async function knownDigests(
  sql: Sql,
  projectId: string,
  objects: readonly Sized[],
): Promise<Set<string>> {
  const rows = await selectObjects(sql, { projectId, digests: objects.map((o) => o.digest) });
  return new Set(rows.map((row) => row.digest));
}

function uniqueByDigest<T extends Sized>(objects: readonly T[]): T[] {
  return [...new Map(objects.map((object) => [object.digest, object])).values()];
}

/** Makes sure that the store holds each object with its size, and records those that are new. */
export async function recordObjects(
  deps: ArtifactDeps,
  input: { readonly projectId: string; readonly objects: readonly Sized[] },
): Promise<void> {
  const { projectId } = input;
  const known = await knownDigests(deps.postgres, projectId, input.objects);
  const fresh = uniqueByDigest(input.objects).filter((object) => !known.has(object.digest));
  for (const { digest, sizeBytes } of fresh) {
    const stored = await deps.objects.head(objectKey(projectId, digest));
    if (stored !== sizeBytes) {
      const what = stored === undefined ? 'was not uploaded' : `has ${stored} bytes, not ${sizeBytes}`;
      throw new AppError('CONFLICT', `The object ${digest} ${what}.`);
    }
  }
  if (fresh.length > 0) await insertObjects(deps.postgres, { projectId, objects: fresh });
}

/** Commits a set of files as one immutable artifact; its id is the digest of the sorted manifest. */
export async function commitArtifact(
  deps: ArtifactDeps,
  input: { readonly projectId: string; readonly kind: string; readonly manifest: Manifest },
): Promise<string> {
  const manifest = [...input.manifest].sort((a, b) => (a.path < b.path ? -1 : 1));
  const paths = new Set(manifest.map((entry) => checkArtifactPath(entry.path)));
  if (paths.size !== manifest.length) {
    throw new AppError('INVALID_ARGUMENT', 'The manifest names a path twice.');
  }
  await recordObjects(deps, { projectId: input.projectId, objects: manifest });
  const id = createHash('sha256').update(canonicalJson({ kind: input.kind, manifest })).digest('hex');
  const sizeBytes = manifest.reduce((sum, entry) => sum + entry.sizeBytes, 0);
  await insertArtifact(deps.postgres, { projectId: input.projectId, id, kind: input.kind, manifest, sizeBytes });
  return id;
}

/** An artifact of the project, or NOT_FOUND. */
export async function getArtifact(
  deps: ArtifactDeps,
  input: { readonly projectId: string; readonly artifactId: string },
): Promise<ArtifactRow> {
  const row = await selectArtifact(deps.postgres, { projectId: input.projectId, id: input.artifactId });
  return found(row, 'artifact', input.artifactId);
}

/** An artifact with a URL for each file, valid for 15 minutes. */
export async function signDownloads(
  deps: ArtifactDeps,
  input: { readonly projectId: string; readonly artifactId: string },
): Promise<Download> {
  const artifact = await getArtifact(deps, input);
  const files = await Promise.all(
    artifact.manifest.map(async (entry) => ({
      ...entry,
      url: await deps.objects.signGet(objectKey(input.projectId, entry.digest), {
        expiresSeconds: URL_SECONDS,
      }),
    })),
  );
  return { artifactId: artifact.id, kind: artifact.kind, files };
}

/** Shows all files of an artifact under a folder of named files: rows only, no bytes are copied. */
export async function linkArtifact(
  deps: ArtifactDeps,
  input: { readonly projectId: string; readonly artifactId: string; readonly folder: string },
): Promise<void> {
  const { manifest } = await getArtifact(deps, input);
  const files = manifest.map((entry) => ({ ...entry, path: `${input.folder}/${entry.path}` }));
  await upsertArtifactFiles(deps.postgres, { projectId: input.projectId, files });
}

/** Takes bytes whose digest is known only at their end. */
export type Receive = (body: Readable) => Promise<Sized & { open(): Readable; discard(): Promise<void> }>;

/** Stores a stream under a path; visible only when all of it is safe. */
export async function putFile(
  deps: ArtifactDeps & { readonly receive: Receive },
  input: { readonly projectId: string; readonly path: string; readonly body: Readable },
): Promise<ArtifactFile> {
  const path = checkArtifactPath(input.path);
  const received = await deps.receive(input.body);
  const { digest, sizeBytes } = received;
  try {
    const known = await knownDigests(deps.postgres, input.projectId, [received]);
    if (!known.has(digest)) {
      const key = objectKey(input.projectId, digest);
      await deps.objects.put(key, received.open(), { digest, sizeBytes });
    }
  } finally {
    await received.discard();
  }
  const file = { path, digest, sizeBytes };
  await deps.postgres.transaction(async (sql) => {
    await insertObjects(sql, { projectId: input.projectId, objects: [file] });
    await upsertArtifactFiles(sql, { projectId: input.projectId, files: [file] });
  });
  return file;
}

/** A named file with its bytes, or NOT_FOUND. */
export async function openFile(
  deps: ArtifactDeps,
  input: { readonly projectId: string; readonly path: string },
): Promise<ArtifactFile & { readonly body: Readable }> {
  const path = checkArtifactPath(input.path);
  const row = await selectArtifactFile(deps.postgres, { projectId: input.projectId, path });
  const file = found(row, 'artifact', path);
  const body = await deps.objects.get(objectKey(input.projectId, file.digest));
  return { ...file, body: found(body, 'object', file.digest) };
}

/** One entry of a folder: `path` is relative to the folder. */
export interface ListedFile {
  readonly path: string;
  readonly isFolder: boolean;
  readonly sizeBytes: number;
}

/** The files and folders directly below a folder. A file's own path lists nothing. */
export async function listFiles(
  deps: ArtifactDeps,
  input: { readonly projectId: string; readonly folder: string },
): Promise<ListedFile[]> {
  const { projectId } = input;
  const folder = input.folder === '' ? '' : checkArtifactPath(input.folder);
  const rows = await selectArtifactFiles(deps.postgres, { projectId, folder, limit: LIST_FILES_MAX });
  const entries = new Map<string, ListedFile>();
  for (const row of rows) {
    const rest = folder === '' ? row.path : row.path.slice(folder.length + 1);
    const [name = '', ...below] = rest.split('/');
    const isFolder = below.length > 0;
    if (!entries.has(name)) {
      entries.set(name, { path: name, isFolder, sizeBytes: isFolder ? 0 : row.sizeBytes });
    }
  }
  return [...entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Removes a file or a folder of named files; the bytes stay until they are collected. */
export async function deleteFile(
  deps: ArtifactDeps,
  input: { readonly projectId: string; readonly path: string },
): Promise<void> {
  const path = checkArtifactPath(input.path);
  await deleteArtifactFiles(deps.postgres, { projectId: input.projectId, path });
}
