import type { Plan } from '../schemas/plan';
import { literal } from './expression-text';
import { parseExpression } from './expressions';
import type { Expression } from './expressions';
import { checkParam } from './params';
import { suggest } from './suggest';
import { piecesOf } from './template';

/** What may stand for a parameter of a sub-pipeline. */
export const VALUE_RULE =
  'must be a plain value, or one single ${{ … }}: it takes the place of the parameter.';

/** Where a mistake is: `with`, a name in it, or the pipeline itself. */
type Report = (at: { readonly param?: string; readonly isWith: boolean }, message: string) => void;

/**
 * What each parameter of a pipeline stands for where it is a sub-pipeline: what it is given, or its
 * default. Undefined after a report.
 */
export function valuesOf(
  { name: pipeline, params, ...plan }: Omit<Plan, 'steps'>,
  given: Readonly<Record<string, unknown>>,
  report: Report,
): Map<string, Expression> | undefined {
  let wrong = 0;
  const fail: Report = (at, message) => {
    wrong += 1;
    report(at, message);
  };
  if (plan.onSuccess ?? plan.onFailure ?? plan.always) {
    const message = 'has handlers of its own, which only a run of its own could carry out.';
    fail({ isWith: false }, message);
  }
  const known = Object.keys(params);
  for (const param of Object.keys(given).filter((other) => !known.includes(other))) {
    const message = `is no parameter of '${pipeline}'.${suggest(param, known)}`;
    fail({ isWith: true, param }, message);
  }
  const values = new Map<string, Expression>();
  for (const [param, spec] of Object.entries(params)) {
    const value: unknown = Object.hasOwn(given, param) ? given[param] : spec.default;
    if (value === undefined) {
      fail({ isWith: true }, `needs '${param}': it has no default.`);
      continue;
    }
    const tree = expressionOf(value);
    const isChecked = tree?.kind === 'literal' || isPlain(value);
    const problem =
      tree === undefined ? VALUE_RULE : isChecked ? checkParam(spec, value) : undefined;
    if (problem !== undefined) fail({ isWith: true, param }, problem);
    else if (tree !== undefined) values.set(param, tree);
  }
  return wrong > 0 ? undefined : values;
}

/** True if a value can take the place of a parameter, as far as its form tells. */
export function canStandFor(value: unknown): boolean {
  if (typeof value !== 'string' || !value.includes('${{')) return isPlain(value);
  try {
    const [piece, ...more] = piecesOf(value);
    return piece?.isExpression === true && more.length === 0;
  } catch {
    return true; // told where the expression itself is checked
  }
}

/** A value, or the expression that a text holds; undefined if the language cannot write it. */
function expressionOf(value: unknown): Expression | undefined {
  if (typeof value === 'string' && value.includes('${{')) {
    const [piece, ...more] = piecesOf(value);
    return piece?.isExpression === true && more.length === 0
      ? parseExpression(piece.text)
      : undefined;
  }
  return isPlain(value) ? literal(value) : undefined;
}

/** True for texts, numbers, truth values, null and lists of them. */
function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isPlain);
  if (typeof value === 'string') return !value.includes('${{');
  return value === null || typeof value !== 'object';
}
