import type { Problem } from '../errors/app-error';
import type { CompositeSpec, DynamicSpec, Plan, PlanStep } from '../schemas/plan';
import { printExpression } from './expression-text';
import { ExpressionError } from './expressions';
import { outputTypes } from './expression-types';
import { given } from './given';
import { inlinePlan } from './inline';
import type { Values } from './inline';
import { isComposite, isDynamic, isLeaf, namesInside, namesOf } from './names';
import type { Found } from './names';
import { valuesOf } from './param-values';
import { withNeeds } from './step-expressions';
import { suggest } from './suggest';
import { validatePlan } from './validate';

/** Values are written wherever a parameter stands: many times a long one must not fill the memory. */
const VALUES_CHARS_MAX = 4 * 1024 * 1024;

/**
 * The plan of a run: where dynamic steps have become sub-pipelines, those stand in it. `fragments` are
 * the pipelines that were written for them, by the keys of the steps.
 */
export function graftPlan(plan: Plan, fragments: ReadonlyMap<string, Plan>): Plan {
  if (fragments.size === 0) return plan;
  const graft = (steps: readonly PlanStep[], prefix: string): PlanStep[] =>
    steps.map((step) => {
      const key = prefix + step.name;
      if (isComposite(step)) return { ...step, steps: graft(step.steps, `${key}.`) };
      const written = isDynamic(step) ? fragments.get(key) : undefined;
      return written === undefined ? step : graftStep(step as DynamicSpec, written);
    });
  return { ...plan, steps: graft(plan.steps, '') };
}

function graftStep(step: DynamicSpec, written: Plan): DynamicSpec {
  const values = valuesOf(written, step.with ?? {}, () => undefined) ?? new Map();
  return { ...step, fragment: fragmentOf(step, written, values) };
}

/** What a dynamic step becomes; of the outputs of the written pipeline those that it names. */
function fragmentOf({ name, outputs }: DynamicSpec, written: Plan, values: Values): CompositeSpec {
  const inlined = inlinePlan(written, values);
  const named = Object.entries(inlined.outputs ?? {}).filter(([key]) => key in (outputs ?? {}));
  return withNeeds({
    name,
    steps: inlined.steps,
    ...(named.length > 0 && { outputs: Object.fromEntries(named) }),
    needs: [],
  }) as CompositeSpec;
}

/** The plan as if all that was written stood in it from the beginning. */
function plainPlan(plan: Plan): Plan {
  const plain = (steps: readonly PlanStep[]): PlanStep[] =>
    steps.map((step) => {
      if (isComposite(step)) return { ...step, steps: plain(step.steps) };
      if (!isDynamic(step) || step.fragment === undefined) return step;
      const { name, needs, after, fragment } = step;
      const order = given({ if: step.if, after });
      return { ...fragment, name, ...order, needs };
    });
  return { ...plan, steps: plain(plan.steps) };
}

/** The dynamic step of a plan with this key, or undefined. */
export function findDynamic(plan: Plan, key: string): DynamicSpec | undefined {
  const step = findByKey(plan, key)?.step;
  return step !== undefined && isDynamic(step) ? step : undefined;
}

/** A step by its own name and those of the sub-pipelines that it stands in. */
function findByKey(plan: Plan, key: string): Found<PlanStep> | undefined {
  const words = key.split('.');
  let names = namesOf(plan);
  for (const word of words.slice(0, -1)) {
    const around = names.steps.get(word);
    if (around === undefined || !isComposite(around)) return undefined;
    names = namesInside(names, around);
  }
  const step = names.steps.get(words.at(-1) ?? '');
  return step === undefined ? undefined : { step, names };
}

/** Why a valid pipeline cannot stand where a dynamic step is: what it is given and holds. */
export function fragmentProblems(step: DynamicSpec, written: Plan): Problem[] {
  const problems: Problem[] = dynamicIn(written.steps, '').map((path) => ({
    path,
    message: 'runs a pipeline that a step writes, which none that was written itself can do.',
  }));
  const values = valuesOf(written, step.with ?? {}, ({ isWith, param }, message) => {
    const path = !isWith ? 'it' : param === undefined ? 'with' : `with.${param}`;
    problems.push({ path, message });
  });
  problems.push(...missingOutputs(step, written));
  if (problems.length > 0 || values === undefined) return problems;
  if (charsOf(written, values) > VALUES_CHARS_MAX) {
    const message = 'are so long, and stand in so many places, that they make more than 4 MiB.';
    return [{ path: 'params', message: `${message} Let the step write shorter ones.` }];
  }
  try {
    return isComposite(fragmentOf(step, written, values)) ? [] : [];
  } catch (error) {
    if (error instanceof ExpressionError) return [{ path: 'with', message: `${error.message}.` }];
    throw error;
  }
}

function dynamicIn(steps: readonly PlanStep[], prefix: string): string[] {
  return steps.flatMap((step) => {
    const path = `${prefix}steps.${step.name}`;
    if (isComposite(step)) return dynamicIn(step.steps, `${path}.`);
    return isLeaf(step) ? [] : [path];
  });
}

/** Every output that is named must be there. */
function missingOutputs({ outputs }: DynamicSpec, written: Plan): Problem[] {
  const known = Object.keys(written.outputs ?? {});
  const missing = Object.keys(outputs ?? {}).filter((output) => !known.includes(output));
  return missing.map((output) => ({
    path: `outputs.${output}`,
    message: `is missing: the pipeline must give it at its top.${suggest(output, known)}`,
  }));
}

/** Why a plan in which all that was written has its place is not valid, or does not give what it must. */
export function graftProblems(grafted: Plan, key: string): Problem[] {
  const plain = plainPlan(grafted);
  const problems = validatePlan(plain);
  const place = findByKey(plain, key);
  if (problems.length > 0 || place === undefined) return problems;
  const types = outputTypes(place);
  return Object.entries(findDynamic(grafted, key)?.outputs ?? {}).flatMap(([output, kind]) => {
    const type = types.get(output) ?? 'any';
    const isValue = type === 'any' || !type.endsWith(' artifact');
    const fits = kind === 'value' ? isValue : type === 'any' || type === `${kind} artifact`;
    if (kind === 'any' || fits) return [];
    return [{ path: `outputs.${output}`, message: `must be a ${kind}, not a ${type}.` }];
  });
}

/** A parameter in an expression inside JSON, where a blank may be written as an escape. */
const PARAM = /params(?:\s|\\[nrtf]|\\u000b)*\.(?:\s|\\[nrtf]|\\u000b)*([\w-]+)/g;

/** At most so many characters does writing the values out add. */
function charsOf(written: Plan, values: Values): number {
  const lengths = new Map([...values].map(([name, tree]) => [name, printExpression(tree).length]));
  let chars = 0;
  for (const [, name = ''] of JSON.stringify(written).matchAll(PARAM)) {
    chars += lengths.get(name) ?? 0;
  }
  return chars;
}
