import { AppError, requireArgument } from '../errors/app-error';
import type { AliasChange } from '../schemas/model-aliases';
import type { ModelVersion } from '../schemas/model-versions';
import { errorCode } from '../storage/postgres/client';
import {
  compareAndSwapAlias,
  findAliasChange,
  findModelAlias,
  listAliasChanges,
  type SwappedAlias,
} from '../storage/postgres/model-aliases';
import {
  aliasProblem,
  changeAliasProblem,
  type ChangeAlias,
  type ChangedAlias,
} from '../workflows/contract';
import { getModelVersion } from './model-versions';
import { getRegisteredModel, type RegistryDeps } from './registered-models';

export interface ChangeModelAlias {
  readonly projectId: string;
  readonly model: string;
  readonly change: ChangeAlias;
}
const UNIQUE_VIOLATION = '23505';
/** The changes that a model's page shows. */
const HISTORY_ROWS_MAX = 100;

/**
 * Moves or removes an alias in one statement with its history, audit and event. Repeating an
 * idempotency key gives the first answer again. CONFLICT if the alias is not at `expectedVersion`,
 * NOT_FOUND without such a model or version; removing what is not set changes nothing.
 */
export async function changeAlias(
  deps: RegistryDeps,
  input: ChangeModelAlias,
): Promise<ChangedAlias> {
  assertChange(input.change);
  const { projectId, model } = input;
  const { alias, version, expectedVersion, actor, reason, idempotencyKey } = input.change;
  const swap = compareAndSwapAlias(deps.postgres, {
    projectId,
    model,
    alias,
    version,
    expectedVersion,
    actor,
    reason,
    idempotencyKey,
  });
  const swapped = await swap.catch((error: unknown) => {
    if (errorCode(error) === UNIQUE_VIOLATION) return undefined;
    throw error;
  });
  return { alias, ...(swapped ?? (await explainNoChange(deps, input))) };
}

/** Hands a change to the workflow that serialises the changes of a model. */
export type SubmitAliasChange = (
  projectId: string,
  model: string,
  change: ChangeAlias,
) => Promise<ChangedAlias>;

/** A change on a person's behalf: refused at once if it is malformed or there is no such model. */
export async function requestAliasChange(
  deps: RegistryDeps & { readonly changeAlias: SubmitAliasChange },
  input: ChangeModelAlias,
): Promise<ChangedAlias> {
  assertChange(input.change);
  // no workflow is started for a name that nobody registered: it would run for ever
  await getRegisteredModel(deps, { projectId: input.projectId, name: input.model });
  return deps.changeAlias(input.projectId, input.model, input.change);
}

/** Why a change did nothing: it was made before, there was nothing to do, or it is refused. */
async function explainNoChange(deps: RegistryDeps, input: ChangeModelAlias): Promise<SwappedAlias> {
  const { projectId, model } = input;
  const { alias, version, expectedVersion, idempotencyKey } = input.change;
  const key = { projectId, model, alias };
  const first = await findAliasChange(deps.postgres, { ...key, idempotencyKey });
  if (first !== undefined) {
    if (first.version === version) return first;
    throw new AppError('CONFLICT', 'The idempotency key belongs to another change of this alias.');
  }
  await getRegisteredModel(deps, { projectId, name: model });
  if (version !== null) await getModelVersion(deps, { projectId, model, version });
  const current = (await findModelAlias(deps.postgres, key)) ?? null;
  if (version === null && current === null && (expectedVersion ?? null) === null) {
    return { version: null, previousVersion: null, revision: 0 };
  }
  const [is, expected] = [current, expectedVersion ?? null].map((v) => v ?? 'not set');
  throw new AppError('CONFLICT', `Alias '${alias}' of '${model}' is ${is}, expected ${expected}.`);
}

/** The version that an alias names, if it is set; `latest` is the newest one. */
export async function findVersionByAlias(
  deps: RegistryDeps,
  key: { readonly projectId: string; readonly model: string; readonly alias: string },
): Promise<ModelVersion | undefined> {
  const { projectId, model, alias } = key;
  if (alias !== 'latest') assertAlias(alias);
  const { newestVersion } = await getRegisteredModel(deps, { projectId, name: model });
  const named = alias === 'latest' ? newestVersion : await findModelAlias(deps.postgres, key);
  if (named === null || named === undefined) return undefined;
  return getModelVersion(deps, { projectId, model, version: named });
}

/** The newest changes of a model's aliases, newest first, at most 100. */
export async function listAliasHistory(
  deps: RegistryDeps,
  key: { readonly projectId: string; readonly model: string },
): Promise<AliasChange[]> {
  return listAliasChanges(deps.postgres, { ...key, limit: HISTORY_ROWS_MAX });
}

function assertChange(change: ChangeAlias): void {
  const problem = changeAliasProblem(change);
  requireArgument(problem === undefined, problem ?? '');
}
function assertAlias(alias: string): void {
  const problem = aliasProblem(alias);
  requireArgument(problem === undefined, problem ?? '');
}
