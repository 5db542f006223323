import type { Problem } from '../errors/app-error';
import type { ParamSpec, Plan } from '../schemas/plan';
import { checkParam } from './params';
import { nameProblem, stepNameProblem, validateStep } from './validate-step';

export { needsOf } from './step-expressions';

const STEPS_MAX = 10_000; // PLAN_LIMITS.stepsMax

/** Every problem of a plan at once; an empty list means that it can run. */
export function validatePlan(plan: Plan): Problem[] {
  const problems: Problem[] = [];
  const name = stepNameProblem(plan.name);
  if (name !== undefined) problems.push({ path: 'name', message: name });
  if (plan.steps.length === 0)
    problems.push({ path: 'steps', message: 'hold no step: write at least one.' });
  if (plan.steps.length > STEPS_MAX) {
    // what is far too large is not looked at in detail
    return [
      {
        path: 'steps',
        message: `are ${plan.steps.length}; at most ${STEPS_MAX}: join some of them.`,
      },
    ];
  }
  for (const [param, spec] of Object.entries(plan.params)) {
    problems.push(...validateParam(`params.${param}`, param, spec));
  }
  const seen = new Set<string>();
  for (const step of plan.steps) {
    const path = `steps.${step.name}`;
    if (seen.has(step.name))
      problems.push({ path, message: 'is there twice: give each step a name of its own.' });
    seen.add(step.name);
    problems.push(...validateStep(plan, step).map((p) => ({ ...p, path: `${path}${p.path}` })));
  }
  return [...problems, ...findCycle(plan)];
}

function validateParam(path: string, name: string, spec: ParamSpec): Problem[] {
  const { type, min, max } = spec;
  const wrongName = nameProblem(name);
  const wrongDefault = spec.default === undefined ? undefined : checkParam(spec, spec.default);
  const hasRange = min !== undefined || max !== undefined;
  const isEmpty = min !== undefined && max !== undefined && min > max;
  return [
    ...(wrongName === undefined ? [] : [{ path, message: wrongName }]),
    ...(hasRange && type !== 'number'
      ? [{ path, message: `is a ${type}: only a number has min and max.` }]
      : []),
    ...(isEmpty ? [{ path, message: `has a min of ${min}, above its max of ${max}.` }] : []),
    ...(wrongDefault === undefined ? [] : [{ path: `${path}.default`, message: wrongDefault }]),
  ];
}

/** Depth-first search; names the first circle that it meets. */
function findCycle(plan: Plan): Problem[] {
  const byName = new Map(plan.steps.map((step) => [step.name, step]));
  const finished = new Set<string>();
  const visit = (name: string, trail: readonly string[]): readonly string[] | undefined => {
    if (trail.includes(name)) return [...trail.slice(trail.indexOf(name)), name];
    if (finished.has(name)) return undefined;
    for (const need of byName.get(name)?.needs ?? []) {
      const cycle = visit(need, [...trail, name]);
      if (cycle !== undefined) return cycle;
    }
    finished.add(name);
    return undefined;
  };
  for (const step of plan.steps) {
    const cycle = visit(step.name, []);
    if (cycle !== undefined) {
      const circle = cycle.join(' → ');
      return [{ path: 'steps', message: `need each other in a circle: ${circle}; cut it once.` }];
    }
  }
  return [];
}
