import { evaluate, ExpressionError, parseExpression } from './expressions';
import type { ScopeStep } from '../schemas/graph';
import type { Outputs, Params, StepSpec } from '../schemas/plan';

/** What an artifact looks like inside an expression: only its reference. */
export interface ArtifactRef {
  readonly artifact: string;
  readonly kind: string;
}

/**
 * What expressions of a node may read: `params`, `item`, `steps.<name>.outputs`. The outputs of a
 * foreach step are a list in item order, each with `item`.
 */
export function scopeFor(
  params: Params,
  item: Readonly<Record<string, unknown>> | undefined,
  earlier: readonly ScopeStep[],
): Readonly<Record<string, unknown>> {
  const steps: Record<string, { outputs: unknown }> = {};
  for (const other of earlier) {
    const name = nameBeside(other.step);
    // a foreach whose items all ended without outputs is an empty list, not nothing
    if (other.isForeach) steps[name] ??= { outputs: [] };
    if (other.outputs === null) continue;
    const values = plain(other.outputs);
    if (!other.isForeach) steps[name] = { outputs: values };
    else if (other.item !== undefined) {
      const list = steps[name]?.outputs as unknown[];
      list.push({ ...values, item: other.item });
    }
  }
  return { params, item: item ?? {}, steps };
}

/**
 * The inputs of a step by name: values, artifact references, or the list of a foreach. Throws
 * ExpressionError that names the input whose source has no value, for instance since it was skipped.
 */
export function resolveInputs(
  spec: Pick<StepSpec, 'inputs'>,
  scope: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const entries = Object.entries(spec.inputs ?? {}).map(([name, text]) => {
    try {
      return [name, evaluate(parseExpression(text), scope)] as const;
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      throw new ExpressionError(`input '${name}': ${error.message}`, error.column);
    }
  });
  return Object.fromEntries(entries);
}

/** What the steps beside it call a step: `fit` for `sweep[0].fit`. */
export function nameBeside(step: string): string {
  return step.slice(step.lastIndexOf('.') + 1);
}

function plain(outputs: Outputs): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, output]) => [
      name,
      'artifact' in output ? { artifact: output.artifact, kind: output.kind } : output.value,
    ]),
  );
}

/** True for a value that stands for an artifact. */
export function isArtifactRef(value: unknown): value is ArtifactRef {
  return value !== null && typeof value === 'object' && 'artifact' in value && 'kind' in value;
}
