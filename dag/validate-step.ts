import type { Problem } from '../errors/app-error';
import type { Plan, StepSpec } from '../schemas/plan';
import { BUILTINS, checkBuiltin } from './builtins';
import { checkTypes } from './expression-types';
import type { ValueType } from './expression-types';
import { expressionsOf } from './step-expressions';
import type { Place } from './step-expressions';
import { suggest } from './suggest';
import { validateOptions } from './validate-options';

const STEP_NAME = /^[a-z][a-z0-9_-]{0,99}$/;
const STEP_NAME_RULE =
  'must begin with a small letter and hold small letters, digits, - and _ only, at most 100.';
/** What an expression can name behind a dot. */
const NAME = /^[A-Za-z_][\w-]{0,99}$/;
const NAME_RULE = 'must begin with a letter or _ and hold letters, digits, - and _ only.';
const USES = /^(?!\/)(?!.*\.\.\/)[^#\\]+\.[cm]?[jt]s#[A-Za-z_$][\w$]*$/;
const VARIABLES_MAX = 10; // more do not multiply to a number of items that anyone runs
const POOL = /^[a-z][a-z0-9-]{0,62}$/; // part of the name of a task queue

/** The problem of a name of a pipeline or a step, or undefined. */
export function stepNameProblem(name: string): string | undefined {
  return STEP_NAME.test(name) ? undefined : STEP_NAME_RULE;
}
/** The problem of a name of a parameter, input, output or item, or undefined. */
export function nameProblem(name: string): string | undefined {
  return NAME.test(name) ? undefined : NAME_RULE;
}

/** Every problem of one step; paths begin behind `steps.<name>`. */
export function validateStep(plan: Plan, step: StepSpec): Problem[] {
  const types = new Map<string, ValueType>();
  const problems = [
    ...validateCommand(step),
    ...validateNames(step),
    ...validateOptions(step),
    ...validateAfter(plan, step),
    ...validateExpressions({ plan, step, types }),
  ];
  if (step.uses?.startsWith('builtin/') === true) {
    problems.push(...checkBuiltin({ plan, step, types }));
  }
  return problems;
}

function validateCommand(step: StepSpec): Problem[] {
  const { argv, uses } = step;
  const problems: Problem[] = [];
  if ((argv === undefined) === (uses === undefined)) {
    problems.push({ path: '', message: "needs exactly one of 'run', 'argv' and 'uses'." });
  }
  if (argv?.length === 0) problems.push({ path: '.argv', message: 'is empty.' });
  if (argv?.[0]?.trim() === '') problems.push({ path: '.argv[0]', message: 'names no program.' });
  if (uses === undefined || uses.startsWith('builtin/') || USES.test(uses)) return problems;
  const near = suggest(uses, BUILTINS);
  const rule = "must be 'file#export' inside the project, for instance ./steps/train.ts#train";
  return [...problems, { path: '.uses', message: `${rule}, or a built-in.${near}` }];
}

function validateNames(step: StepSpec): Problem[] {
  const problems: Problem[] = [];
  const add = (path: string, message: string | undefined): void => {
    if (message !== undefined) problems.push({ path, message });
  };
  add('', stepNameProblem(step.name));
  for (const key of ['inputs', 'outputs', 'foreach'] as const) {
    for (const name of Object.keys(step[key] ?? {})) add(`.${key}.${name}`, nameProblem(name));
  }
  const variables = Object.keys(step.foreach ?? {}).length;
  if (step.foreach !== undefined && (variables === 0 || variables > VARIABLES_MAX)) {
    add('.foreach', `must have from 1 to ${VARIABLES_MAX} variables.`);
  }
  for (const [name, output] of Object.entries(step.outputs ?? {})) {
    const path = 'kind' in output ? output.path : undefined;
    if (path !== undefined && (/^$|^\/|\\/.test(path) || path.split('/').includes('..'))) {
      add(`.outputs.${name}`, 'has a path that is not inside the working folder.');
    }
    if ('metric' in output && output.metric === '') add(`.outputs.${name}`, 'names no metric.');
  }
  if (!POOL.test(step.pool)) add('.pool', 'must be small letters, digits and - only, at most 63.');
  return problems;
}

function validateAfter(plan: Plan, step: StepSpec): Problem[] {
  const names = plan.steps.map((other) => other.name);
  return (step.after ?? [])
    .filter((name) => !names.includes(name))
    .map((name) => ({
      path: '.after',
      message: `names no step '${name}'.${suggest(name, names)}`,
    }));
}

interface Typed {
  readonly plan: Plan;
  readonly step: StepSpec;
  /** Filled in: what each input gives, by its path. */
  readonly types: Map<string, ValueType>;
}

function validateExpressions({ plan, step, types }: Typed): Problem[] {
  return expressionsOf(step).flatMap(({ place, tree, error }) => {
    const { path } = place;
    if (error !== undefined) {
      return [{ path, message: `column ${error.column}: ${error.message}.` }];
    }
    const messages: string[] = [];
    const type = checkTypes(tree, { plan, step, place, problems: messages });
    types.set(path, type);
    const wrong = messages.length > 0 ? undefined : roleProblem(type, place.role);
    return [...messages, ...(wrong === undefined ? [] : [wrong])].map((message) => ({
      path,
      message,
    }));
  });
}

/** Why a value of this type may not stand here, or undefined. */
function roleProblem(type: ValueType, role: Place['role']): string | undefined {
  if (type === 'any' || role === 'input') return undefined;
  if (role === 'condition') {
    return type === 'boolean' ? undefined : `must be true or false, not a ${type}.`;
  }
  if (role === 'list') return type === 'list' ? undefined : `must be a list, not a ${type}.`;
  return type.endsWith('artifact') || type === 'items'
    ? `holds a ${type}: make it an input and write \${{ inputs.<name>.path }}.`
    : undefined;
}
