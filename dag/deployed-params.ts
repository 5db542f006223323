import type { Params, Plan } from '../schemas/plan';
import type { Triggers } from '../schemas/triggers';
import { resolveParams } from './params';

/**
 * Checks the params that a pipeline is deployed with. What is missing may come with what starts a run, but
 * a schedule adds nothing. INVALID_ARGUMENT lists all mistakes.
 */
export function checkDeployedParams(plan: Plan, params: Params, triggers: Triggers): void {
  const isComplete = triggers.schedule !== undefined;
  const expected = Object.entries(plan.params).filter(
    ([name, spec]) => isComplete || spec.default !== undefined || Object.hasOwn(params, name),
  );
  resolveParams({ ...plan, params: Object.fromEntries(expected) }, params);
}
