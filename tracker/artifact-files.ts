import type { Readable } from 'node:stream';
import { AppError, found } from '../errors/app-error';
import type { Principal } from '../schemas/tokens';
import { objectKey } from '../storage/objects/keys';
import type { ReceivedBytes } from '../storage/objects/store';
import {
  deleteArtifactFiles,
  selectArtifactFile,
  selectClash,
  selectFolder,
  upsertArtifactFiles,
} from '../storage/postgres/artifact-files';
import type { ArtifactFile, FolderEntry } from '../storage/postgres/artifact-files';
import { insertObjects, selectObjects } from '../storage/postgres/objects';
import { checkArtifactPath, parentFolders } from './artifact-paths';
import { assertActive } from './experiments';
import type { ObjectDeps } from './objects';
import { assertWritableRun } from './runs';

interface At {
  readonly projectId: string;
  readonly path: string;
}
/** A folder with more direct entries cannot be shown at once, nor read by anybody. */
const LIST_ENTRIES_MAX = 10_000;

/** Stores a stream under a path; visible only when all of it is safe. It replaces what was there. */
export async function putFile(
  deps: ObjectDeps,
  input: At & { readonly body: Readable },
): Promise<ArtifactFile> {
  const { projectId } = input;
  const path = checkArtifactPath(input.path);
  const clash = await selectClash(deps.postgres, { projectId, path, parents: parentFolders(path) });
  if (clash !== undefined) {
    throw new AppError('INVALID_ARGUMENT', `'${path}' cannot be a file beside '${clash}'.`);
  }
  const received = await deps.objects.receive(input.body);
  try {
    await publishOnce(deps, projectId, received);
  } finally {
    await received.discard();
  }
  const file = { path, digest: received.digest, sizeBytes: received.sizeBytes };
  await deps.postgres.transaction(async (sql) => {
    await insertObjects(sql, { projectId, objects: [file] });
    await upsertArtifactFiles(sql, { projectId, files: [file] });
  });
  return file;
}

async function publishOnce(
  deps: ObjectDeps,
  projectId: string,
  received: ReceivedBytes,
): Promise<void> {
  const { digest } = received;
  const known = await selectObjects(deps.postgres, { projectId, digests: [digest] });
  if (known.length === 0) await received.publish(objectKey(projectId, digest));
}

/** A named file with its bytes, or NOT_FOUND. */
export async function openFile(
  deps: ObjectDeps,
  input: At,
): Promise<ArtifactFile & { readonly body: Readable }> {
  const { projectId } = input;
  const path = checkArtifactPath(input.path);
  const file = found(await selectArtifactFile(deps.postgres, { projectId, path }), 'file', path);
  const body = await deps.objects.get(objectKey(projectId, file.digest));
  return { ...file, body: found(body, 'object', file.digest) };
}

/** The files and folders directly below a folder, by name; '' is the top. A file lists nothing. */
export async function listFiles(
  deps: Pick<ObjectDeps, 'postgres'>,
  input: { readonly projectId: string; readonly folder: string },
): Promise<FolderEntry[]> {
  const { projectId } = input;
  const folder = input.folder === '' ? '' : checkArtifactPath(input.folder);
  const limit = LIST_ENTRIES_MAX + 1;
  const entries = await selectFolder(deps.postgres, { projectId, folder, limit });
  if (entries.length < limit) return entries;
  const message = `The folder '${folder}' has more than ${LIST_ENTRIES_MAX} entries to list.`;
  throw new AppError('TOO_LARGE', message);
}

/** The folder behind a run's `mlflow-artifacts:/…`; INVALID_ARGUMENT if it is kept elsewhere. */
export function artifactRootOf(artifactUri: string): string {
  const root = /^mlflow-artifacts:(?:\/\/[^/]*)?\/(.+)$/.exec(artifactUri)?.[1];
  if (root !== undefined) return root;
  throw new AppError('INVALID_ARGUMENT', `Artifacts of '${artifactUri}' are not kept here.`);
}

/**
 * What lies in a folder of a run's or model's artifacts, named from its artifact root;
 * INVALID_ARGUMENT if that root is kept elsewhere.
 */
export async function listRunArtifacts(
  deps: Pick<ObjectDeps, 'postgres'>,
  input: At & { readonly artifactUri: string },
): Promise<FolderEntry[]> {
  const { projectId, artifactUri } = input;
  const root = artifactRootOf(artifactUri);
  const path = input.path === '' ? '' : checkArtifactPath(input.path);
  const folder = path === '' ? root : `${root}/${path}`;
  const entries = await listFiles(deps, { projectId, folder });
  return path === '' ? entries : entries.map((e) => ({ ...e, name: `${path}/${e.name}` }));
}

/** Removes a file or a folder of named files; the bytes stay until they are collected. */
export async function deleteFile(deps: Pick<ObjectDeps, 'postgres'>, input: At): Promise<void> {
  const path = checkArtifactPath(input.path);
  await deleteArtifactFiles(deps.postgres, { projectId: input.projectId, path });
}

/**
 * Refuses writes outside `<experiment>/<run>/artifacts/…` of an active run and
 * `<experiment>/models/<model>/…` of an active experiment, both of the caller's project. An attempt
 * writes to runs of its own pipeline run only, and once it was replaced to none: PERMISSION_DENIED,
 * ATTEMPT_SUPERSEDED.
 */
export async function assertWritablePath(
  deps: Pick<ObjectDeps, 'postgres'>,
  input: { readonly principal: Principal; readonly path: string },
): Promise<void> {
  const { principal } = input;
  const { projectId, attempt } = principal;
  const [experiment = '', owner = '', ...below] = checkArtifactPath(input.path).split('/');
  if (!/^\d{1,15}$/.test(experiment) || below.length < 2) throw notWritable();
  if (owner === 'models') {
    if (attempt !== undefined) throw modelsAreOthers(experiment);
    await assertActive(deps, { projectId, id: Number(experiment) });
    return;
  }
  if (below[0] !== 'artifacts') throw notWritable();
  const run = await assertWritableRun(deps, { principal, runId: owner });
  if (String(run.experimentId) !== experiment) {
    throw new AppError('INVALID_ARGUMENT', `Run ${owner} is not in experiment ${experiment}.`);
  }
}

/** Nothing says which pipeline run made what lies there, so no step may write it. */
function modelsAreOthers(experiment: string): AppError {
  const why = `A step writes to runs of its own pipeline run only, not to '${experiment}/models/'`;
  const advice = "Log the files to a run of the step, or use a person's token.";
  return new AppError('PERMISSION_DENIED', `${why}. ${advice}`);
}

function notWritable(): AppError {
  const places = '<experiment>/<run>/artifacts/ or <experiment>/models/<model>/';
  return new AppError('INVALID_ARGUMENT', `Artifacts are written below ${places} only.`);
}
