import { createRunBuiltin, type BuiltinDeps, type RunBuiltin } from '../pipelines/steps';
import { failureOf } from './failures';

/** Idempotent by run and step: outputs that were committed stay, nothing is made twice. */
export function createExecuteBuiltin(deps: BuiltinDeps): RunBuiltin {
  const runBuiltin = createRunBuiltin(deps);
  return async function executeBuiltin(input) {
    try {
      await runBuiltin(input);
    } catch (error) {
      throw failureOf(error);
    }
  };
}
