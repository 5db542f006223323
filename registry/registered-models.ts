import { AppError, found } from '../errors/app-error';
import type { ModelTag, RegisteredModel } from '../schemas/registered-models';
import type { Postgres } from '../storage/postgres/client';
import {
  deleteRegisteredModelTag,
  findRegisteredModel,
  insertRegisteredModel,
  listRegisteredModels,
  setRegisteredModelTag,
  updateRegisteredModel,
  type ModelKey,
} from '../storage/postgres/registered-models';
import {
  assertDescription,
  assertModelName,
  assertModelTag,
  assertTagKey,
  uniqueTags,
} from './names';

export interface RegistryDeps {
  readonly postgres: Postgres;
}
const NOUN = 'registered model';

/** Creates a model; ALREADY_EXISTS if the name is taken. */
export async function createRegisteredModel(
  deps: RegistryDeps,
  input: ModelKey & { description?: string; tags?: readonly ModelTag[]; actor: string },
): Promise<RegisteredModel> {
  const { projectId, name, description = '', actor } = input;
  assertModelName(name);
  assertDescription(description);
  const tags = uniqueTags(input.tags ?? []);
  const created = await insertRegisteredModel(deps.postgres, {
    projectId,
    name,
    description,
    tags,
    actor,
  });
  if (!created) {
    throw new AppError('ALREADY_EXISTS', `Registered Model (name=${name}) already exists.`);
  }
  return getRegisteredModel(deps, { projectId, name });
}

/** The model, or NOT_FOUND. */
export async function getRegisteredModel(
  deps: RegistryDeps,
  key: ModelKey,
): Promise<RegisteredModel> {
  assertModelName(key.name);
  return found(await findRegisteredModel(deps.postgres, key), NOUN, key.name);
}

export interface SearchRegisteredModels {
  readonly projectId: string;
  readonly afterName?: string | undefined;
  readonly name?: string | undefined;
  readonly withoutTag?: ModelTag | undefined;
  readonly limit: number;
}

/** One page of models by name; `next` names the last one if there may be more. */
export async function searchRegisteredModels(
  deps: RegistryDeps,
  page: SearchRegisteredModels,
): Promise<{ readonly models: RegisteredModel[]; readonly next: string | undefined }> {
  const { projectId, afterName, name, withoutTag, limit } = page;
  const rows = await listRegisteredModels(deps.postgres, {
    projectId,
    afterName,
    name,
    withoutTag,
    limit: limit + 1,
  });
  const models = rows.slice(0, limit);
  return { models, next: rows.length > limit ? models.at(-1)?.name : undefined };
}

/** Replaces the description; NOT_FOUND if there is no such model. */
export async function describeRegisteredModel(
  deps: RegistryDeps,
  change: ModelKey & { readonly description: string },
): Promise<RegisteredModel> {
  assertModelName(change.name);
  assertDescription(change.description);
  await updateRegisteredModel(deps.postgres, change);
  return getRegisteredModel(deps, change);
}

/** Sets a tag, whatever it was; NOT_FOUND if there is no such model. */
export async function tagRegisteredModel(
  deps: RegistryDeps,
  tag: ModelKey & ModelTag,
): Promise<void> {
  assertModelTag(tag);
  await getRegisteredModel(deps, tag);
  await setRegisteredModelTag(deps.postgres, tag);
}

/** Removes a tag, there or not; NOT_FOUND if there is no such model. */
export async function untagRegisteredModel(
  deps: RegistryDeps,
  tag: ModelKey & { readonly key: string },
): Promise<void> {
  assertTagKey(tag.key);
  await getRegisteredModel(deps, tag);
  await deleteRegisteredModelTag(deps.postgres, tag);
}
