import type { SubmitAliasChange } from './model-aliases';
import { createModelVersion } from './model-versions';
import type { RegistryDeps } from './registered-models';
import { assertModelName } from './names';
import { insertRegisteredModel } from '../storage/postgres/registered-models';

export interface RegisterModelDeps extends RegistryDeps {
  readonly changeAlias: SubmitAliasChange;
}
export interface RegisterModel {
  readonly projectId: string;
  readonly model: string;
  readonly artifactId: string;
  readonly runId?: string;
  readonly alias?: string;
  readonly actor: string;
  readonly idempotencyKey: string; // at most 200 characters
}

/**
 * Registers an artifact as the next version of a model, which is created at its first use, and
 * moves the alias to it if one is named. Repeating a key gives the same version again.
 */
export async function registerModel(
  deps: RegisterModelDeps,
  input: RegisterModel,
): Promise<{ readonly version: number }> {
  const { projectId, model, artifactId, runId, alias, actor, idempotencyKey } = input;
  assertModelName(model);
  // false means that it is there already, which is just as good
  await insertRegisteredModel(deps.postgres, {
    projectId,
    name: model,
    description: '',
    tags: [],
    actor,
  });
  const { version } = await createModelVersion(deps, {
    projectId,
    model,
    source: `anneal:/artifacts/${artifactId}`,
    ...(runId === undefined ? {} : { runId }),
    actor,
    idempotencyKey,
  });
  if (alias !== undefined) {
    await deps.changeAlias(projectId, model, {
      alias,
      version,
      actor,
      reason: `registered as version ${version}`,
      idempotencyKey: `${idempotencyKey}/${alias}`,
    });
  }
  return { version };
}
