import { AppError, type Problem } from '../errors/app-error';
import type { Params, Plan } from '../schemas/plan';
import type { Triggers } from '../schemas/triggers';
import { resolveParams } from './params';
import { paramsOfTriggers, triggerProblems } from './trigger-params';

/**
 * Checks the params that a pipeline is deployed with, and those that its triggers give. What is missing may
 * come with a request, but each trigger must give whatever else is missing, and a schedule gives nothing.
 * INVALID_ARGUMENT lists all mistakes.
 */
export function checkDeployedParams(plan: Plan, params: Params, triggers: Triggers): void {
  const isComplete = triggers.schedule !== undefined;
  const expected = Object.entries(plan.params).filter(
    ([name, spec]) => isComplete || spec.default !== undefined || Object.hasOwn(params, name),
  );
  resolveParams({ ...plan, params: Object.fromEntries(expected) }, params);
  const missing = Object.keys(plan.params).filter(
    (name) => plan.params[name]?.default === undefined && !Object.hasOwn(params, name),
  );
  const problems = [
    ...triggerProblems(plan, triggers),
    ...paramsOfTriggers(triggers).flatMap((trigger) =>
      missing
        .filter((name) => !Object.hasOwn(trigger.params, name))
        .map((name): Problem => ({ path: `${trigger.path}.params`, message: lacks(name) })),
    ),
  ];
  if (problems.length === 0) return;
  const text = problems.map(({ path, message }) => `${path} ${message}`).join(' ');
  throw new AppError('INVALID_ARGUMENT', text, { problems });
}

function lacks(name: string): string {
  return `must give '${name}', which has no default and was not given.`;
}
