import { AppError } from '../errors/app-error';
import type { Outputs, OutputSpec, Plan, StepSpec } from '../schemas/plan';
import { isArtifactRef } from './scope';

/** The steps that Anneal brings along. */
export const BUILTINS = ['builtin/best', 'builtin/register-model'] as const;

/** Chooses the item of a foreach with the best value; ties go to the first. Throws on no item. */
export function bestOf(
  runs: unknown,
  options: { readonly by: string; readonly mode: string },
): Outputs {
  if (!Array.isArray(runs) || runs.length === 0) {
    throw new AppError(
      'INVALID_ARGUMENT',
      "builtin/best needs the outputs of a foreach step in 'runs'.",
    );
  }
  const items = runs as Record<string, unknown>[];
  const scored = items.filter((item) => typeof item[options.by] === 'number');
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
  if (step.uses === 'builtin/register-model') return { version: { value: true } };
  if (step.uses !== 'builtin/best') return step.outputs ?? {};
  const source = /^steps\.([\w-]+)\.outputs$/.exec(step.inputs?.['runs'] ?? '')?.[1];
  const from = plan.steps.find((other) => other.name === source);
  return { ...(from === undefined ? {} : from.outputs), item: { value: true } };
}

/** What is wrong with a built-in's inputs and settings, or nothing. */
export function checkBuiltin(step: StepSpec): string[] {
  const has = (name: string): boolean => step.inputs?.[name] !== undefined;
  const text = (name: string): boolean => typeof step.with?.[name] === 'string';
  if (step.uses === 'builtin/best') {
    const mode = step.with?.['mode'] ?? 'max';
    return [
      ...(has('runs') ? [] : ["needs the input 'runs': the outputs of a foreach step."]),
      ...(text('by') ? [] : ["needs 'by' in with: the output to compare."]),
      ...(mode === 'max' || mode === 'min' ? [] : ["'mode' must be max or min."]),
    ];
  }
  if (step.uses === 'builtin/register-model') {
    return [
      ...(has('model') ? [] : ["needs the input 'model': a model artifact."]),
      ...(text('name') ? [] : ["needs 'name' in with: the registered model."]),
    ];
  }
  return [`'${step.uses ?? ''}' is not a built-in; there are: ${BUILTINS.join(', ')}.`];
}
