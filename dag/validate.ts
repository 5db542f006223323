import type { Problem } from '../errors/app-error';
import type { ParamSpec, Plan, PlanStep } from '../schemas/plan';
import { handlerNames, handlersOf } from './handlers';
import { isComposite, isDynamic, isLeaf, namesInside, namesOf } from './names';
import type { Names } from './names';
import { checkParam } from './params';
import { nameProblem, stepNameProblem, validateOutputs, validateStep } from './validate-step';

export { needsOf, withNeeds } from './step-expressions';

const STEPS_MAX = 10_000; // PLAN_LIMITS.stepsMax
const TWICE = 'is there twice: give each step a name of its own.';
const DEPTH_MAX = 8; // PLAN_LIMITS.depthMax
/** The keys of handlers begin with these, as those of the steps in a sub-pipeline with its name. */
const HANDLER_KEYS = ['on_success', 'on_failure', 'always'];

/** Every problem of a plan at once; an empty list means that it can run. */
export function validatePlan(plan: Plan): Problem[] {
  const count = countSteps(plan.steps) + Object.values(handlersOf(plan)).flat().length;
  if (count > STEPS_MAX) {
    // what is far too large is not looked at in detail
    return [{ path: 'steps', message: `are ${count}; at most ${STEPS_MAX}: join some of them.` }];
  }
  const problems: Problem[] = [];
  const name = stepNameProblem(plan.name);
  if (name !== undefined) problems.push({ path: 'name', message: name });
  if (plan.steps.length === 0)
    problems.push({ path: 'steps', message: 'hold no step: write at least one.' });
  for (const [param, spec] of Object.entries(plan.params)) {
    problems.push(...validateParam(`params.${param}`, param, spec));
  }
  return [
    ...problems,
    ...validateLevel(plan.steps, { names: namesOf(plan), path: '', depth: 0 }),
    ...validateOutputs(plan),
    ...validateHandlers(plan),
  ];
}

/** The steps of a plan, those inside others too. */
export function countSteps(steps: readonly PlanStep[]): number {
  return steps.reduce((sum, step) => sum + 1 + (isComposite(step) ? countSteps(step.steps) : 0), 0);
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

/** Handlers run one after the other: they have a place in a list, and no foreach. */
function validateHandlers(plan: Plan): Problem[] {
  const names = handlerNames(plan);
  return Object.entries(handlersOf(plan)).flatMap(([key, steps]) => {
    const seen = new Set<string>();
    return steps.flatMap((step, i) => {
      const path = `${key}[${i}]`;
      const problems = validateStep({ step, names });
      const add = (at: string, message: string): void => {
        problems.push({ path: at, message });
      };
      if (seen.has(step.name)) {
        add('', `has the name '${step.name}', as one before it: give it a name of its own.`);
      }
      seen.add(step.name);
      if (step.cache !== undefined) add('.cache', 'is not possible in a handler: it always runs.');
      if (step.deadlineSeconds !== undefined) add('.deadline', 'is not possible in a handler.');
      if (step.foreach !== undefined) add('.foreach', 'is not possible in a handler.');
      if (step.after !== undefined) add('.after', 'is not possible in a handler: order the list.');
      return problems.map((problem) => ({ ...problem, path: `${path}${problem.path}` }));
    });
  });
}

interface Level {
  readonly names: Names;
  /** Of the sub-pipeline, with a dot behind; '' for the steps of the plan itself. */
  readonly path: string;
  readonly depth: number;
}

/** The problems of steps that stand beside each other, and of the steps inside them. */
function validateLevel(steps: readonly PlanStep[], { names, path, depth }: Level): Problem[] {
  const problems: Problem[] = [];
  const seen = new Set<string>();
  for (const step of steps) {
    const at = `${path}steps.${step.name}`;
    if (seen.has(step.name)) problems.push({ path: at, message: TWICE });
    seen.add(step.name);
    const own = validateStep({ step, names });
    problems.push(...own.map((problem) => ({ ...problem, path: `${at}${problem.path}` })));
    if (isDynamic(step) && isRepeated(names)) {
      const message = 'stands inside a foreach, where no pipeline of a step can run: move it out.';
      problems.push({ path: `${at}.pipeline`, message });
    }
    if (isLeaf(step)) continue;
    if (depth === 0 && HANDLER_KEYS.includes(step.name)) {
      problems.push({ path: at, message: 'has the name of the handlers: give it another one.' });
    }
    if (isDynamic(step)) continue;
    if (depth === DEPTH_MAX) {
      problems.push({ path: at, message: `stands inside ${DEPTH_MAX} others: that is the most.` });
      continue;
    }
    const inside = { names: namesInside(names, step), path: `${at}.`, depth: depth + 1 };
    problems.push(...validateLevel(step.steps, inside));
  }
  const cycle = findCycle(steps);
  if (cycle === undefined) return problems;
  const message = `need each other in a circle: ${cycle.join(' → ')}; cut it once.`;
  return [...problems, { path: `${path}steps`, message }];
}

/** True inside a foreach, at any depth. */
function isRepeated({ around }: Names): boolean {
  return around !== undefined && (around.step.foreach !== undefined || isRepeated(around.names));
}

/** Takes away every step that nothing holds back; what is left hangs on a circle. Linear. */
function findCycle(steps: readonly PlanStep[]): readonly string[] | undefined {
  const byName = new Map(steps.map((step) => [step.name, step]));
  const open = new Map<string, number>();
  const waiters = new Map<string, string[]>();
  for (const { name, needs } of byName.values()) {
    const own = needs.filter((need) => byName.has(need));
    open.set(name, own.length);
    for (const need of own) {
      const list = waiters.get(need);
      if (list === undefined) waiters.set(need, [name]);
      else list.push(name);
    }
  }
  const free = [...open].filter(([, count]) => count === 0).map(([name]) => name);
  for (let name = free.pop(); name !== undefined; name = free.pop()) {
    open.delete(name);
    for (const waiter of waiters.get(name) ?? []) {
      const left = (open.get(waiter) ?? 0) - 1;
      open.set(waiter, left);
      if (left === 0) free.push(waiter);
    }
  }
  const trail = new Set<string>();
  let [at] = open.keys();
  while (at !== undefined && !trail.has(at)) {
    trail.add(at);
    at = byName.get(at)?.needs.find((need) => open.has(need));
  }
  return at === undefined ? undefined : [...[...trail].slice([...trail].indexOf(at)), at];
}
