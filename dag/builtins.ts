import { AppError } from '../errors/app-error';
import type { Problem } from '../errors/app-error';
import type { Outputs, OutputSpec, Plan, StepSpec } from '../schemas/plan';
import { isArtifactRef } from './scope';
import { suggest } from './suggest';

/** The steps that Anneal brings along. */
export const BUILTINS = ['builtin/best', 'builtin/nothing', 'builtin/register-model'] as const;

/** What a built-in takes: inputs by name → the type that each must have, and settings. */
const SIGNATURES: ReadonlyMap<string, Signature> = new Map([
  ['builtin/best', { inputs: { runs: 'items' }, required: ['by'], settings: ['by', 'mode'] }],
  ['builtin/nothing', { inputs: {}, required: [], settings: [] }],
  [
    'builtin/register-model',
    { inputs: { model: 'model artifact' }, required: ['name'], settings: ['name', 'alias'] },
  ],
]);
interface Signature {
  readonly inputs: Readonly<Record<string, string>>;
  readonly required: readonly string[];
  readonly settings: readonly string[];
}
const INPUT_RULES: Readonly<Record<string, string>> = {
  items: 'the outputs of a foreach step, such as steps.train.outputs',
  'model artifact': 'an output of kind model',
};

/**
 * Chooses the item of a foreach with the best value: its outputs, and the `item` itself. Items without
 * a finite number under `by` do not count; ties go to the first.
 */
export function bestOf(
  runs: unknown,
  options: { readonly by: string; readonly mode: string },
): Outputs {
  if (!Array.isArray(runs) || runs.length === 0) {
    throw new AppError(
      'INVALID_ARGUMENT',
      "builtin/best needs the outputs of a foreach step in 'runs', of at least one item.",
    );
  }
  const items = runs as Record<string, unknown>[];
  const scored = items.filter((item) => Number.isFinite(item[options.by]));
  if (scored.length === 0) {
    throw new AppError('INVALID_ARGUMENT', `No item has a number under '${options.by}'.`);
  }
  const sign = options.mode === 'min' ? -1 : 1;
  const best = scored.reduce((a, b) =>
    sign * Number(b[options.by]) > sign * Number(a[options.by]) ? b : a,
  );
  const { item, ...outputs } = best;
  const result: Outputs = {};
  for (const [name, value] of Object.entries(outputs)) {
    result[name] = isArtifactRef(value) ? { ...value } : { value: value as never };
  }
  return { ...result, item: { value: item as never } };
}

/** The outputs that a step declares; for a built-in, those that follow from its inputs. */
export function declaredOutputs(plan: Plan, step: StepSpec): Readonly<Record<string, OutputSpec>> {
  if (step.uses === 'builtin/nothing') return {};
  if (step.uses === 'builtin/register-model') return { version: { value: true } };
  if (step.uses !== 'builtin/best') return step.outputs ?? {};
  return { ...sourceOf(plan, step)?.outputs, item: { value: true } };
}

/** The foreach step whose items `builtin/best` compares. */
function sourceOf(plan: Plan, step: StepSpec): StepSpec | undefined {
  const name = /^\s*steps\.([\w-]+)\.outputs\s*$/.exec(step.inputs?.['runs'] ?? '')?.[1];
  return plan.steps.find((other) => other.name === name);
}

/** What is wrong with a built-in's inputs and settings; `types` says what its inputs give. */
export function checkBuiltin(given: {
  readonly plan: Plan;
  readonly step: StepSpec;
  readonly types: ReadonlyMap<string, string>;
}): Problem[] {
  const { step } = given;
  const uses = step.uses ?? '';
  const signature = SIGNATURES.get(uses);
  if (signature === undefined) {
    const message = `'${uses}' is no built-in; there are: ${BUILTINS.join(', ')}.`;
    return [{ path: '.uses', message: message + suggest(uses, BUILTINS) }];
  }
  const problems = [...checkInputs(given, signature), ...checkSettings(step, signature)];
  if (Object.keys(step.outputs ?? {}).length > 0) {
    problems.push({ path: '.outputs', message: 'follow from the built-in: leave them out.' });
  }
  return problems.length > 0 ? problems : checkBy(given.plan, step);
}

function checkInputs(
  given: { readonly step: StepSpec; readonly types: ReadonlyMap<string, string> },
  signature: Signature,
): Problem[] {
  const wanted = Object.entries(signature.inputs);
  const known = Object.keys(signature.inputs);
  const names = Object.keys(given.step.inputs ?? {});
  const missing = wanted.flatMap(([name, type]) => {
    const path = `.inputs.${name}`;
    const found = given.types.get(path);
    const rule = INPUT_RULES[type] ?? type;
    if (!names.includes(name)) return [{ path: '.inputs', message: `needs '${name}': ${rule}.` }];
    const fits = found === undefined || found === 'any' || found === type;
    return fits ? [] : [{ path, message: `must be ${rule}, not a ${found}.` }];
  });
  const unknown = names
    .filter((name) => !known.includes(name))
    .map((name) => ({
      path: `.inputs.${name}`,
      message: `is no input of ${given.step.uses ?? ''}.${suggest(name, known)}`,
    }));
  return [...missing, ...unknown];
}

function checkSettings(step: StepSpec, signature: Signature): Problem[] {
  const given = step.with ?? {};
  const missing = signature.required
    .filter((name) => given[name] === undefined)
    .map((name) => ({ path: '.with', message: `needs '${name}'.` }));
  const wrong = Object.entries(given).flatMap(([name, value]) => {
    const path = `.with.${name}`;
    if (!signature.settings.includes(name)) {
      const hint = suggest(name, signature.settings);
      return [{ path, message: `is no setting of ${step.uses ?? ''}.${hint}` }];
    }
    if (typeof value !== 'string') return [{ path, message: 'must be text.' }];
    const isMode = name === 'mode' && !['max', 'min'].includes(value);
    return isMode ? [{ path, message: "must be 'max' or 'min'." }] : [];
  });
  return [...missing, ...wrong];
}

/** `by` must be an output of the items that can be a number. */
function checkBy(plan: Plan, step: StepSpec): Problem[] {
  const by = step.with?.['by'];
  const outputs = sourceOf(plan, step)?.outputs;
  if (step.uses !== 'builtin/best' || typeof by !== 'string' || outputs === undefined) return [];
  if (by.includes('${{')) return [];
  const names = Object.keys(outputs).filter((name) => !('kind' in (outputs[name] ?? {})));
  if (names.includes(by)) return [];
  const hint = suggest(by, names);
  return [{ path: '.with.by', message: `'${by}' is no output that can be compared.${hint}` }];
}
