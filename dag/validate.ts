import type { Problem } from '../errors/app-error';
import type { Plan, StepSpec } from '../schemas/plan';
import { BUILTINS, checkBuiltin, declaredOutputs } from './builtins';
import { ExpressionError, parseExpression, referencesOf } from './expressions';
import type { Expression } from './expressions';
import { checkParam } from './params';
import { suggest } from './suggest';
import { parseTemplate, templatesIn } from './template';

const NAME = /^[a-z][a-z0-9_-]{0,99}$/;
const NAME_RULE = 'must begin with a small letter and hold small letters, digits, - and _ only.';
const STEPS_MAX = 500; // PLAN_LIMITS.stepsMax

/** Every problem of a plan at once; an empty list means that it can run. */
export function validatePlan(plan: Plan): Problem[] {
  const problems: Problem[] = [];
  if (!NAME.test(plan.name)) problems.push({ path: 'name', message: NAME_RULE });
  if (plan.steps.length === 0) problems.push({ path: 'steps', message: 'hold no step.' });
  if (plan.steps.length > STEPS_MAX) {
    problems.push({ path: 'steps', message: `are ${plan.steps.length}; at most ${STEPS_MAX}.` });
  }
  for (const [name, spec] of Object.entries(plan.params)) {
    const wrong = spec.default === undefined ? undefined : checkParam(spec, spec.default);
    if (wrong !== undefined) problems.push({ path: `params.${name}.default`, message: wrong });
  }
  const seen = new Set<string>();
  for (const step of plan.steps) {
    const path = `steps.${step.name}`;
    if (seen.has(step.name)) problems.push({ path, message: 'is there twice.' });
    seen.add(step.name);
    problems.push(...validateStep(plan, step).map((p) => ({ ...p, path: `${path}${p.path}` })));
  }
  return [...problems, ...findCycle(plan)];
}

function validateStep(plan: Plan, step: StepSpec): Problem[] {
  const problems: Problem[] = [];
  const add = (path: string, message: string): void => void problems.push({ path, message });
  if (!NAME.test(step.name)) add('', NAME_RULE);
  if ((step.argv === undefined) === (step.uses === undefined)) {
    add('', "needs exactly one of 'run', 'argv' and 'uses'.");
  }
  if (step.argv?.length === 0) add('.argv', 'is empty.');
  if (step.uses?.startsWith('builtin/') === true) {
    for (const message of checkBuiltin(step)) add('.uses', message + hint(step.uses));
  } else if (step.uses !== undefined && !/^\.{0,2}\/?[^#]+#[A-Za-z_$][\w$]*$/.test(step.uses)) {
    add('.uses', "must be 'file#export', for instance ./steps/train.ts#train.");
  }
  if (Object.keys(step.foreach ?? {}).length > 1) add('.foreach', 'may have one variable only.');
  const names = plan.steps.map((other) => other.name);
  for (const after of step.after ?? []) {
    if (!names.includes(after)) add('.after', `names no step '${after}'.${suggest(after, names)}`);
  }
  if (step.timeoutSeconds <= 0) add('.timeout', 'must be longer than 0.');
  return [...problems, ...validateExpressions(plan, step)];
}

function hint(uses: string): string {
  return (BUILTINS as readonly string[]).includes(uses) ? '' : suggest(uses, BUILTINS);
}

/** Where a text stands inside a step, and which roots its expressions may read. */
interface Place {
  readonly path: string;
  readonly text: string;
  readonly roots: readonly string[];
}

function validateExpressions(plan: Plan, step: StepSpec): Problem[] {
  const problems: Problem[] = [];
  for (const { place, tree, error } of expressionsOf(step)) {
    if (error !== undefined) {
      problems.push({ path: place.path, message: `column ${error.column}: ${error.message}.` });
      continue;
    }
    for (const parts of tree === undefined ? [] : referencesOf(tree)) {
      const wrong = checkReference({ plan, step, place }, parts);
      if (wrong !== undefined) problems.push({ path: place.path, message: wrong });
    }
  }
  return problems;
}

interface Parsed {
  readonly place: Place;
  readonly tree?: Expression;
  readonly error?: ExpressionError;
}

/** Every expression of a step, parsed; also used to derive what it needs. */
export function expressionsOf(step: StepSpec): Parsed[] {
  const all = ['params', 'item', 'steps'];
  const bare: Place[] = [
    ...Object.entries(step.inputs ?? {}).map(([k, text]) => ({
      path: `.inputs.${k}`,
      text,
      roots: all,
    })),
    ...Object.entries(step.foreach ?? {}).map(([k, text]) => ({
      path: `.foreach.${k}`,
      text,
      roots: ['params'],
    })),
    ...(step.if === undefined ? [] : [{ path: '.if', text: step.if, roots: all }]),
  ];
  const texts: Place[] = [
    ...(step.argv ?? []).map((text, i) => ({
      path: `.argv[${i}]`,
      text,
      roots: [...all, 'inputs'],
    })),
    ...Object.entries(step.env ?? {}).map(([k, text]) => ({
      path: `.env.${k}`,
      text,
      roots: [...all, 'inputs'],
    })),
    ...templatesIn(step.with ?? {}).map((text) => ({ path: '.with', text, roots: all })),
  ];
  return [
    ...bare.flatMap((place) => attempt(place, () => [parseExpression(place.text)])),
    ...texts.flatMap((place) =>
      attempt(place, () => parseTemplate(place.text).filter((part) => typeof part !== 'string')),
    ),
  ];
}

function attempt(place: Place, parse: () => readonly Expression[]): Parsed[] {
  try {
    return parse().map((tree) => ({ place, tree }));
  } catch (error) {
    if (error instanceof ExpressionError) return [{ place, error }];
    throw error;
  }
}

interface Context {
  readonly plan: Plan;
  readonly step: StepSpec;
  readonly place: Place;
}

function checkReference(context: Context, parts: readonly (string | number)[]): string | undefined {
  const [root, name, word, output] = parts.map(String);
  const { plan, step, place } = context;
  if (root === undefined || !place.roots.includes(root)) {
    return `'${parts.join('.')}' cannot be read here; only ${place.roots.join(', ')}.`;
  }
  if (name === undefined) return undefined;
  const known = {
    params: Object.keys(plan.params),
    item: Object.keys(step.foreach ?? {}),
    inputs: Object.keys(step.inputs ?? {}),
    steps: plan.steps.map((other) => other.name),
  }[root as 'params' | 'item' | 'inputs' | 'steps'];
  if (!known.includes(name)) return `there is no '${root}.${name}'.${suggest(name, known)}`;
  if (root !== 'steps') return undefined;
  if (word !== 'outputs') return `'${parts.join('.')}' must go on with '.outputs'.`;
  const source = plan.steps.find((other) => other.name === name);
  if (source === undefined || output === undefined || source.foreach !== undefined)
    return undefined;
  const outputs = Object.keys(declaredOutputs(plan, source));
  return outputs.includes(output)
    ? undefined
    : `step '${name}' has no output '${output}'.${suggest(output, outputs)}`;
}

/** The names of the steps that a step's expressions and `after` name, sorted. */
export function needsOf(step: StepSpec): string[] {
  const names = new Set(step.after ?? []);
  for (const { tree } of expressionsOf(step)) {
    for (const parts of tree === undefined ? [] : referencesOf(tree)) {
      if (parts[0] === 'steps' && parts[1] !== undefined) names.add(String(parts[1]));
    }
  }
  return [...names].sort();
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
      const message = `need each other in a circle: ${[...cycle].reverse().join(' → ')}.`;
      return [{ path: 'steps', message }];
    }
  }
  return [];
}
