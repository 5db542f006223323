import { AppError } from '../errors/app-error';
import type { Problem } from '../errors/app-error';
import type { Outputs, StepSpec } from '../schemas/plan';
import { outputTypes } from './expression-types';
import { sourceOf } from './names';
import type { Found } from './names';
import { isArtifactRef } from './scope';
import { suggest } from './suggest';

/** The steps that Anneal brings along. */
export const BUILTINS = [
  'builtin/best',
  'builtin/nothing',
  'builtin/notify',
  'builtin/register-model',
] as const;

/** The most that any plain output may have, as of a step that runs a process. */
const VALUE_CHARS_MAX = 64 * 1024;

/** What a built-in takes: inputs by name → the type that each must have, and settings. */
const SIGNATURES: ReadonlyMap<string, Signature> = new Map([
  ['builtin/best', { inputs: { runs: 'items' }, required: ['by'], settings: ['by', 'mode'] }],
  ['builtin/nothing', { inputs: {}, required: [], settings: [] }],
  // without a url it goes to that of the installation; without a message it says how the run ended
  ['builtin/notify', { inputs: {}, required: [], settings: ['url', 'message'] }],
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
  return { ...toOutputs(outputs), item: { value: item as never } };
}

/** The outputs of a sub-pipeline: what its expressions gave. TOO_LARGE as for any other output. */
export function outputsOf(values: Readonly<Record<string, unknown>>): Outputs {
  for (const [name, value] of Object.entries(values)) {
    if (JSON.stringify(value).length <= VALUE_CHARS_MAX) continue;
    const message = `The output '${name}' is larger than 64 KiB: let a step write it to a file.`;
    throw new AppError('TOO_LARGE', message);
  }
  return toOutputs(values);
}

function toOutputs(values: Readonly<Record<string, unknown>>): Outputs {
  const result: Outputs = {};
  for (const [name, value] of Object.entries(values)) {
    result[name] = isArtifactRef(value) ? { ...value } : { value: value as never };
  }
  return result;
}

/** What is wrong with a built-in's inputs and settings; `types` says what its inputs give. */
export function checkBuiltin(
  found: Found<StepSpec>,
  types: ReadonlyMap<string, string>,
): Problem[] {
  const { step } = found;
  const uses = step.uses ?? '';
  const signature = SIGNATURES.get(uses);
  if (signature === undefined) {
    const message = `'${uses}' is no built-in; there are: ${BUILTINS.join(', ')}.`;
    return [{ path: '.uses', message: message + suggest(uses, BUILTINS) }];
  }
  const problems = [...checkInputs({ step, types }, signature), ...checkSettings(step, signature)];
  if (Object.keys(step.outputs ?? {}).length > 0) {
    problems.push({ path: '.outputs', message: 'follow from the built-in: leave them out.' });
  }
  return problems.length > 0 ? problems : checkBy(found);
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
    if (name === 'mode' && !['max', 'min'].includes(value)) {
      return [{ path, message: "must be 'max' or 'min'." }];
    }
    const isUrl = /^https?:\/\/\S+$/.test(value) || value.includes('${{');
    return name === 'url' && !isUrl
      ? [{ path, message: 'must begin with http:// or https://.' }]
      : [];
  });
  return [...missing, ...wrong];
}

/** `by` must be an output of the items that can be a number. */
function checkBy({ step, names }: Found<StepSpec>): Problem[] {
  const by = step.with?.['by'];
  const source = sourceOf(names, step.inputs?.['runs']);
  if (step.uses !== 'builtin/best' || typeof by !== 'string' || source === undefined) return [];
  if (by.includes('${{')) return [];
  const comparable = [...outputTypes(source)].filter(([, type]) => !type.endsWith('artifact'));
  const known = comparable.map(([name]) => name);
  if (known.includes(by)) return [];
  const hint = suggest(by, known);
  return [{ path: '.with.by', message: `'${by}' is no output that can be compared.${hint}` }];
}
