import type { Problem } from '../errors/app-error';
import type { CompositeSpec, DynamicSpec, Plan, PlanStep, StepSpec } from '../schemas/plan';
import { BUILTINS, checkBuiltin } from './builtins';
import { checkTypes } from './expression-types';
import { findStep, isComposite, isDynamic, isLeaf, namesInside, namesOf, stepNames } from './names';
import type { Found } from './names';
import type { ValueType } from './operator-types';
import { canStandFor, VALUE_RULE } from './param-values';
import { expressionsOf } from './step-expressions';
import type { Place } from './step-expressions';
import { suggest } from './suggest';
import { validateForeach, validateOptions } from './validate-options';

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

/** Every problem of one step, without those of its inner steps; paths begin behind the step's. */
export function validateStep({ step, names }: Found<PlanStep>): Problem[] {
  const types = new Map<string, ValueType>();
  const problems = [
    ...validateKind(step),
    ...validateNames(step),
    ...validateAfter({ step, names }),
    ...validateExpressions({ step, names }, types),
  ];
  if (isLeaf(step) && step.uses?.startsWith('builtin/') === true) {
    problems.push(...checkBuiltin({ step, names }, types));
  }
  return problems;
}

/** The problems of what a pipeline gives to a step that runs it. */
export function validateOutputs(plan: Plan): Problem[] {
  const { name, steps, outputs } = plan;
  const problems = Object.keys(outputs ?? {}).flatMap((output) => {
    const message = nameProblem(output);
    return message === undefined ? [] : [{ path: `outputs.${output}`, message }];
  });
  // as those of a sub-pipeline with these steps
  const step = { name, steps, needs: [], ...(outputs && { outputs }) };
  const found = validateExpressions({ step, names: namesOf(plan) }, new Map());
  return [...problems, ...found.map((problem) => ({ ...problem, path: problem.path.slice(1) }))];
}

function validateKind(step: PlanStep): Problem[] {
  if (isComposite(step)) return validateComposite(step);
  return isDynamic(step) ? validateDynamic(step) : validateLeaf(step);
}

/** The pipeline itself is checked when it is there. */
function validateDynamic({ with: values }: DynamicSpec): Problem[] {
  return Object.entries(values ?? {}).flatMap(([name, value]) => {
    const wrongName = nameProblem(name);
    const message = wrongName ?? (canStandFor(value) ? undefined : VALUE_RULE);
    return message === undefined ? [] : [{ path: `.with.${name}`, message }];
  });
}

function validateComposite(step: CompositeSpec): Problem[] {
  const empty =
    step.steps.length === 0
      ? [{ path: '.steps', message: 'hold no step: write at least one.' }]
      : [];
  return [...empty, ...validateForeach(step)];
}

function validateLeaf(step: StepSpec): Problem[] {
  const { argv, uses } = step;
  const problems = validateOptions(step);
  const add = (path: string, message: string): void => {
    problems.push({ path, message });
  };
  if ((argv === undefined) === (uses === undefined)) {
    add('', "needs exactly one of 'run', 'argv', 'uses', 'steps' and 'pipeline'.");
  }
  if (argv?.length === 0) add('.argv', 'is empty.');
  if (argv?.[0]?.trim() === '') add('.argv[0]', 'names no program.');
  if (!POOL.test(step.pool)) add('.pool', 'must be small letters, digits and - only, at most 63.');
  for (const [name, output] of Object.entries(step.outputs ?? {})) {
    const path = 'kind' in output ? output.path : undefined;
    if (path !== undefined && (/^$|^\/|\\/.test(path) || path.split('/').includes('..'))) {
      add(`.outputs.${name}`, 'has a path that is not inside the working folder.');
    }
    if ('metric' in output && output.metric === '') add(`.outputs.${name}`, 'names no metric.');
  }
  if (uses === undefined || uses.startsWith('builtin/') || USES.test(uses)) return problems;
  const near = suggest(uses, BUILTINS);
  const rule = "must be 'file#export' inside the project, for instance ./steps/train.ts#train";
  add('.uses', `${rule}, or a built-in.${near}`);
  return problems;
}

function validateNames(step: PlanStep): Problem[] {
  const problems: Problem[] = [];
  const add = (path: string, message: string | undefined): void => {
    if (message !== undefined) problems.push({ path, message });
  };
  add('', stepNameProblem(step.name));
  const named = {
    inputs: isLeaf(step) ? step.inputs : undefined,
    outputs: step.outputs,
    foreach: step.foreach,
  };
  for (const [key, mapping] of Object.entries(named)) {
    for (const name of Object.keys(mapping ?? {})) add(`.${key}.${name}`, nameProblem(name));
  }
  const variables = Object.keys(step.foreach ?? {}).length;
  if (step.foreach !== undefined && (variables === 0 || variables > VARIABLES_MAX)) {
    add('.foreach', `must have from 1 to ${VARIABLES_MAX} variables.`);
  }
  return problems;
}

/** Only the steps beside a step, or around it, can be waited for. */
function validateAfter({ step, names }: Found<PlanStep>): Problem[] {
  return (step.after ?? []).flatMap((name, i) => {
    if (findStep(names, name) !== undefined) return [];
    const hint = names.hint(name, () => stepNames(names));
    return [{ path: `.after[${i}]`, message: `names no step '${name}'.${hint}` }];
  });
}

/** `types` is filled in: what each expression gives, by its path. */
function validateExpressions(
  { step, names }: Found<PlanStep>,
  types: Map<string, ValueType>,
): Problem[] {
  const inside = isComposite(step) ? namesInside(names, step) : names;
  return expressionsOf(step).flatMap(({ place, tree, error }) => {
    const { path, role } = place;
    if (error !== undefined) {
      return [{ path, message: `column ${error.column}: ${error.message}.` }];
    }
    const messages: string[] = [];
    const context = { step, names: role === 'output' ? inside : names, place, problems: messages };
    const type = checkTypes(tree, context);
    types.set(path, type);
    const wrong = messages.length > 0 ? undefined : roleProblem(type, role);
    return [...messages, ...(wrong === undefined ? [] : [wrong])].map((message) => ({
      path,
      message,
    }));
  });
}

/** Why a value of this type may not stand here, or undefined. */
function roleProblem(type: ValueType, role: Place['role']): string | undefined {
  if (role === 'pipeline') {
    const message = `must be an output of kind pipeline, as steps.NAME.outputs.X, not a ${type}.`;
    return type === 'pipeline artifact' ? undefined : message;
  }
  if (type === 'any' || role === 'input') return undefined;
  if (role === 'condition') {
    return type === 'boolean' ? undefined : `must be true or false, not a ${type}.`;
  }
  if (role === 'list') {
    return type === 'list' || type === 'items' ? undefined : `must be a list, not a ${type}.`;
  }
  if (role === 'output') {
    const message = 'is the list of a foreach: take an output of one of its items, or of a step.';
    return type === 'items' ? message : undefined;
  }
  return type.endsWith('artifact') || type === 'items'
    ? `holds a ${type}: make it an input and write \${{ inputs.<name>.path }}.`
    : undefined;
}
