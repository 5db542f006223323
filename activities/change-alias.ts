import { changeAlias as changeModelAlias } from '../registry/model-aliases';
import type { RegistryDeps } from '../registry/registered-models';
import type { ChangeAlias, ChangedAlias } from '../workflows/contract';
import { failureOf } from './failures';

export interface ChangeAliasInput {
  readonly projectId: string;
  readonly model: string;
  readonly change: ChangeAlias;
}

/** Idempotent by `change.idempotencyKey`: a retry after a lost answer gives the first answer. */
export function createChangeAlias(
  deps: RegistryDeps,
): (input: ChangeAliasInput) => Promise<ChangedAlias> {
  return async function changeAlias(input) {
    try {
      return await changeModelAlias(deps, input);
    } catch (error) {
      throw failureOf(error);
    }
  };
}
