import { withNeeds } from '../../dag/validate';
import type { Plan, PlanStep, StepSpec } from '../../schemas/plan';

/** A command step with what a test does not care about filled in. */
export function step(name: string, extra: Partial<StepSpec> = {}): StepSpec {
  return {
    name,
    ...(extra.uses === undefined ? { argv: ['true'] } : {}),
    pool: 'cpu',
    timeoutSeconds: 60,
    retry: { max: 0, on: ['crash', 'oom'] },
    needs: [],
    ...extra,
  };
}

/** A canonical plan: `needs` are derived as the front ends do. */
export function plan(steps: readonly PlanStep[], params: Plan['params'] = {}): Plan {
  return {
    version: 1,
    name: 'test',
    params,
    steps: steps.map(withNeeds),
  };
}
