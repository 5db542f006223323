import { runBuiltin, type BuiltinDeps } from '../pipelines/steps';
import type { ExecuteStepResult } from '../schemas/attempts';
import type { StepKey } from '../storage/postgres/steps';
import { failureOf } from './failures';

/** Idempotent by run and step: outputs that were committed are answered, not made again. */
export function createExecuteBuiltin(
  deps: BuiltinDeps,
): (key: StepKey) => Promise<ExecuteStepResult> {
  return async function executeBuiltin(key) {
    try {
      return { outputs: await runBuiltin(deps, key) };
    } catch (error) {
      throw failureOf(error);
    }
  };
}
