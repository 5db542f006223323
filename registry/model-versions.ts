import { AppError, found } from '../errors/app-error';
import type { ModelVersion } from '../schemas/model-versions';
import type { ModelTag } from '../schemas/registered-models';
import { errorCode } from '../storage/postgres/client';
import {
  deleteModelVersionTag,
  findModelVersion,
  findModelVersionByKey,
  insertModelVersion,
  listModelVersions,
  listNewestVersions,
  setModelVersionTag,
  updateModelVersion,
  type VersionKey,
} from '../storage/postgres/model-versions';
import {
  assertDescription,
  assertModelName,
  assertModelTag,
  assertTagKey,
  uniqueTags,
} from './names';
import type { RegistryDeps } from './registered-models';
import { artifactFolder, assertSource } from './sources';
import { freezeSource, notFrozen } from './version-files';

export interface CreateModelVersion {
  readonly projectId: string;
  readonly model: string;
  readonly source: string;
  readonly runId?: string;
  readonly description?: string;
  readonly tags?: readonly ModelTag[];
  readonly actor: string;
  /** Makes the call repeatable: the same key gives the same version. */
  readonly idempotencyKey?: string;
}
const UNIQUE_VIOLATION = '23505';
/** The largest number that the column holds. */
const VERSION_MAX = 2 ** 31 - 1;

/**
 * Registers the next version of a model, whose files are those that its source has now: a later
 * write to a run changes none of them. NOT_FOUND if there is no such model or source, or no file in it.
 */
export async function createModelVersion(
  deps: RegistryDeps,
  input: CreateModelVersion,
): Promise<ModelVersion> {
  const { projectId, model, source, description = '', idempotencyKey } = input;
  assertModelName(model);
  assertSource(source);
  assertDescription(description);
  const insert = deps.postgres.transaction(async (sql) =>
    insertModelVersion(sql, {
      projectId,
      model,
      source,
      runId: input.runId,
      artifactId: await freezeSource(sql, { projectId, source }),
      description,
      tags: uniqueTags(input.tags ?? []),
      actor: input.actor,
      idempotencyKey,
    }),
  );
  const version = await insert.catch((error: unknown) => {
    if (errorCode(error) === UNIQUE_VIOLATION) return null;
    throw error;
  });
  if (version === null) return repeatedVersion(deps, input);
  if (version === undefined)
    throw new AppError('NOT_FOUND', `No registered model '${model}' was found.`);
  return getModelVersion(deps, { projectId, model, version });
}

/** What the first call with this key made; CONFLICT if that call was another one. */
async function repeatedVersion(
  deps: RegistryDeps,
  input: CreateModelVersion,
): Promise<ModelVersion> {
  const { projectId, model, source, idempotencyKey = '' } = input;
  const first = await findModelVersionByKey(deps.postgres, { projectId, model, idempotencyKey });
  if (first?.source === source) return first;
  throw new AppError('CONFLICT', 'The idempotency key belongs to another model version.');
}

/** The version, or NOT_FOUND. */
export async function getModelVersion(deps: RegistryDeps, key: VersionKey): Promise<ModelVersion> {
  assertModelName(key.model);
  const known = key.version <= VERSION_MAX;
  const version = known ? await findModelVersion(deps.postgres, key) : undefined;
  return found(version, 'model version', `${key.model}/${key.version}`);
}

/** The folder from which MLflow's clients download a version, as an `mlflow-artifacts:/…` URI. */
export async function findDownloadUri(deps: RegistryDeps, key: VersionKey): Promise<string> {
  const { artifactId } = await getModelVersion(deps, key);
  if (artifactId === null) throw notFrozen(`models:/${key.model}/${key.version}`);
  return `mlflow-artifacts:/${artifactFolder(artifactId)}`;
}

export interface SearchModelVersions {
  readonly projectId: string;
  readonly model?: string | undefined;
  readonly runId?: string | undefined;
  readonly after?: { readonly model: string; readonly version: number } | undefined;
  readonly limit: number;
}
export interface ModelVersionPage {
  readonly versions: ModelVersion[];
  readonly next: { readonly model: string; readonly version: number } | undefined;
}

/** One page of versions, by model, newest first; `next` is its last one if there may be more. */
export async function searchModelVersions(
  deps: RegistryDeps,
  page: SearchModelVersions,
): Promise<ModelVersionPage> {
  const { projectId, model, runId, after, limit } = page;
  const rows = await listModelVersions(deps.postgres, {
    projectId,
    model,
    runId,
    after,
    limit: limit + 1,
  });
  const versions = rows.slice(0, limit);
  const last = versions.at(-1);
  const more = rows.length > limit && last !== undefined;
  return { versions, next: more ? { model: last.model, version: last.version } : undefined };
}

/** The newest version of each of these models, by the model's name. */
export async function newestVersions(
  deps: RegistryDeps,
  wanted: { readonly projectId: string; readonly models: readonly string[] },
): Promise<ReadonlyMap<string, ModelVersion>> {
  const versions = await listNewestVersions(deps.postgres, wanted);
  return new Map(versions.map((version) => [version.model, version]));
}

/** Replaces the description; NOT_FOUND if there is no such version. */
export async function describeModelVersion(
  deps: RegistryDeps,
  change: VersionKey & { readonly description: string },
): Promise<ModelVersion> {
  assertDescription(change.description);
  await getModelVersion(deps, change);
  await updateModelVersion(deps.postgres, change);
  return getModelVersion(deps, change);
}

/** Sets a tag, whatever it was; NOT_FOUND if there is no such version. */
export async function tagModelVersion(
  deps: RegistryDeps,
  tag: VersionKey & ModelTag,
): Promise<void> {
  assertModelTag(tag);
  await getModelVersion(deps, tag);
  await setModelVersionTag(deps.postgres, tag);
}

/** Removes a tag, there or not; NOT_FOUND if there is no such version. */
export async function untagModelVersion(
  deps: RegistryDeps,
  tag: VersionKey & { readonly key: string },
): Promise<void> {
  assertTagKey(tag.key);
  await getModelVersion(deps, tag);
  await deleteModelVersionTag(deps.postgres, tag);
}
