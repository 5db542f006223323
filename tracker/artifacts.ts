import { createHash } from 'node:crypto';
import { canonicalJson } from '../dag/canonical';
import { basename } from 'node:path';
import { AppError, found } from '../errors/app-error';
import type { Manifest } from '../schemas/artifacts';
import type { Download } from '../schemas/attempts';
import { objectKey } from '../storage/objects/keys';
import {
  selectArtifactFile,
  selectArtifactFiles,
  upsertArtifactFiles,
} from '../storage/postgres/artifact-files';
import type { Sql } from '../storage/postgres/client';
import { insertArtifact, selectArtifact } from '../storage/postgres/artifacts';
import type { ArtifactRow } from '../storage/postgres/artifacts';
import { checkArtifactPath, checkArtifactPaths } from './artifact-paths';
import { recordObjects, URL_SECONDS } from './objects';
import type { ObjectDeps } from './objects';

/** What the rules of artifacts need. */
export type ArtifactDeps = ObjectDeps;

/** What the rules need that touch rows only: the database, or one transaction of it. */
interface RowDeps {
  readonly postgres: Sql;
}
/** As many as a committed manifest holds. */
const FILES_MAX = 10_000;

/**
 * Commits a set of uploaded files as one immutable artifact and gives its id: the SHA-256 of the
 * canonical JSON of the manifest, sorted by path. The same files again give the same id, and the
 * artifact keeps the kind it was first committed with. CONFLICT names a file that was not uploaded.
 */
export async function commitArtifact(
  deps: ArtifactDeps,
  input: { readonly projectId: string; readonly kind: string; readonly manifest: Manifest },
): Promise<string> {
  const { projectId, manifest } = input;
  checkArtifactPaths(manifest.map((entry) => entry.path));
  await recordObjects(deps, { projectId, objects: manifest });
  return saveArtifact(deps.postgres, input);
}

/**
 * Makes an artifact of the files that lie below a path now, or of the one file at it, named from
 * there: rows only, the bytes stand under their digests already. What is written to the path later
 * changes nothing of it. Undefined if nothing is there; TOO_LARGE above 10,000 files.
 */
export async function freezeFiles(
  deps: RowDeps,
  input: { readonly projectId: string; readonly path: string; readonly kind: string },
): Promise<string | undefined> {
  const { projectId, kind } = input;
  const path = checkArtifactPath(input.path);
  const find = { projectId, folder: path, limit: FILES_MAX + 1 };
  const below = await selectArtifactFiles(deps.postgres, find);
  if (below.length > FILES_MAX) {
    throw new AppError(
      'TOO_LARGE',
      `'${path}' holds more than ${FILES_MAX} files: name less of it.`,
    );
  }
  if (below.length > 0) {
    const manifest = below.map((file) => ({ ...file, path: file.path.slice(path.length + 1) }));
    return saveArtifact(deps.postgres, { projectId, kind, manifest });
  }
  const file = await selectArtifactFile(deps.postgres, { projectId, path });
  if (file === undefined) return undefined;
  const manifest = [{ ...file, path: basename(path) }];
  return saveArtifact(deps.postgres, { projectId, kind, manifest });
}

async function saveArtifact(
  sql: Sql,
  input: { readonly projectId: string; readonly kind: string; readonly manifest: Manifest },
): Promise<string> {
  const { projectId, kind } = input;
  const manifest = input.manifest
    .map(({ path, digest, sizeBytes }) => ({ path, digest, sizeBytes }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  const id = createHash('sha256').update(canonicalJson(manifest)).digest('hex');
  const sizeBytes = manifest.reduce((sum, entry) => sum + entry.sizeBytes, 0);
  await insertArtifact(sql, { projectId, id, kind, manifest, sizeBytes });
  return id;
}

interface At {
  readonly projectId: string;
  readonly artifactId: string;
}

/** An artifact of the project, or NOT_FOUND. */
export async function getArtifact(
  deps: RowDeps,
  { projectId, artifactId }: At,
): Promise<ArtifactRow> {
  const row = await selectArtifact(deps.postgres, { projectId, id: artifactId });
  return found(row, 'artifact', artifactId);
}

/** An artifact with a URL for each file, valid for 15 minutes. */
export async function signDownloads(deps: ArtifactDeps, at: At): Promise<Download> {
  const { id, kind, manifest } = await getArtifact(deps, at);
  const files = manifest.map(async (entry) => {
    const key = objectKey(at.projectId, entry.digest);
    return { ...entry, url: await deps.objects.signGet(key, { expiresSeconds: URL_SECONDS }) };
  });
  return { artifactId: id, kind, files: await Promise.all(files) };
}

/**
 * Shows all files of an artifact under a folder of named files, and says how many those are: rows
 * only, no bytes are copied.
 */
export async function linkArtifact(
  deps: RowDeps,
  input: At & { readonly folder: string },
): Promise<number> {
  const { manifest } = await getArtifact(deps, input);
  const files = manifest.map((entry) => ({
    ...entry,
    path: checkArtifactPath(`${input.folder}/${entry.path}`),
  }));
  await upsertArtifactFiles(deps.postgres, { projectId: input.projectId, files });
  return files.length;
}
