import { createHash } from 'node:crypto';
import { canonicalJson } from '../dag/canonical';
import { found } from '../errors/app-error';
import type { Manifest } from '../schemas/artifacts';
import type { Download } from '../schemas/attempts';
import { objectKey } from '../storage/objects/keys';
import { upsertArtifactFiles } from '../storage/postgres/artifact-files';
import { insertArtifact, selectArtifact } from '../storage/postgres/artifacts';
import type { ArtifactRow } from '../storage/postgres/artifacts';
import { checkArtifactPath, checkArtifactPaths } from './artifact-paths';
import { recordObjects, URL_SECONDS } from './objects';
import type { ObjectDeps } from './objects';

/** What the rules of artifacts need. */
export type ArtifactDeps = ObjectDeps;

/**
 * Commits a set of uploaded files as one immutable artifact and gives its id: the SHA-256 of the
 * canonical JSON of the manifest, sorted by path. The same files again give the same id, and the
 * artifact keeps the kind it was first committed with. CONFLICT names a file that was not uploaded.
 */
export async function commitArtifact(
  deps: ArtifactDeps,
  input: { readonly projectId: string; readonly kind: string; readonly manifest: Manifest },
): Promise<string> {
  const { projectId, kind } = input;
  checkArtifactPaths(input.manifest.map((entry) => entry.path));
  const manifest = input.manifest
    .map(({ path, digest, sizeBytes }) => ({ path, digest, sizeBytes }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  await recordObjects(deps, { projectId, objects: manifest });
  const id = createHash('sha256').update(canonicalJson(manifest)).digest('hex');
  const sizeBytes = manifest.reduce((sum, entry) => sum + entry.sizeBytes, 0);
  await insertArtifact(deps.postgres, { projectId, id, kind, manifest, sizeBytes });
  return id;
}

interface At {
  readonly projectId: string;
  readonly artifactId: string;
}

/** An artifact of the project, or NOT_FOUND. */
export async function getArtifact(
  deps: Pick<ArtifactDeps, 'postgres'>,
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

/** Shows all files of an artifact under a folder of named files: rows only, no bytes are copied. */
export async function linkArtifact(
  deps: Pick<ArtifactDeps, 'postgres'>,
  input: At & { readonly folder: string },
): Promise<void> {
  const { manifest } = await getArtifact(deps, input);
  const files = manifest.map((entry) => ({
    ...entry,
    path: checkArtifactPath(`${input.folder}/${entry.path}`),
  }));
  await upsertArtifactFiles(deps.postgres, { projectId: input.projectId, files });
}
