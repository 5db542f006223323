import type { DynamicSpec, PlanStep } from '../schemas/plan';
import { ExpressionError, parseExpression, referencesOf } from './expressions';
import type { Expression } from './expressions';
import { isComposite, isDynamic } from './names';
import { parseTemplate, piecesOf, templatesIn } from './template';

/** Where an expression stands inside a step, and which roots it may read. */
export interface Place {
  readonly path: string;
  /**
   * `value`: becomes text or JSON; `input`: may be an artifact; `output`: of a sub-pipeline, read
   * among its steps; `pipeline`: a pipeline that a step has written; `condition`, `list`: as they say.
   */
  readonly role: 'value' | 'input' | 'output' | 'pipeline' | 'condition' | 'list';
  readonly roots: readonly string[];
}

/** One expression of a step, or why it cannot be read. */
export type StepExpression =
  | { readonly place: Place; readonly tree: Expression; readonly error?: never }
  | { readonly place: Place; readonly error: ExpressionError; readonly tree?: never };

const ROOTS = ['params', 'item', 'steps'];
/** Paths of inputs exist only where the step runs: in its command and its environment. */
const ROOTS_ON_NODE = [...ROOTS, 'inputs'];

function bare(path: string, text: string, role: Place['role']): StepExpression[] {
  return attempt({ path, role, roots: ROOTS }, () => [parseExpression(text)]);
}
function free(path: string, text: string, roots: readonly string[]): StepExpression[] {
  if (!text.includes('${{')) return [];
  return attempt({ path, role: 'value', roots }, () =>
    parseTemplate(text).filter((part) => typeof part !== 'string'),
  );
}
function each<T>(
  record: Readonly<Record<string, T>> | undefined,
  read: (key: string, value: T) => StepExpression[],
): StepExpression[] {
  return record === undefined
    ? []
    : Object.entries(record).flatMap(([key, value]) => read(key, value));
}

/** Every expression of a step, parsed, in the order of the step's keys; not those of inner steps. */
export function expressionsOf(step: PlanStep): StepExpression[] {
  const order = [
    ...each(step.foreach, (key, text) => bare(`.foreach.${key}`, text, 'list')),
    ...(step.if === undefined ? [] : bare('.if', step.if, 'condition')),
  ];
  if (isComposite(step)) {
    return [
      ...order,
      ...each(step.outputs, (key, text) => bare(`.outputs.${key}`, text, 'output')),
    ];
  }
  if (isDynamic(step))
    return [...bare('.pipeline', step.pipeline, 'pipeline'), ...order, ...valuesOf(step)];
  return [
    ...each(step.inputs, (key, text) => bare(`.inputs.${key}`, text, 'input')),
    ...order,
    ...(step.argv ?? []).flatMap((text, i) => free(`.argv[${i}]`, text, ROOTS_ON_NODE)),
    ...each(step.env, (key, text) => free(`.env.${key}`, text, ROOTS_ON_NODE)),
    ...each(step.with, (key, value) =>
      templatesIn(value).flatMap((text) => free(`.with.${key}`, text, ROOTS)),
    ),
    ...(step.cache?.values ?? []).flatMap((text) => bare('.cache.key', text, 'value')),
  ];
}

/** What stands for the params of a sub-pipeline: whole expressions, which may give artifacts. */
function valuesOf({ with: values }: DynamicSpec): StepExpression[] {
  return each(values, (key, value) => {
    const path = `.with.${key}`;
    const at = { path, role: 'input', roots: ROOTS } as const;
    if (typeof value !== 'string' || !value.includes('${{')) return [];
    return attempt(at, () =>
      piecesOf(value).flatMap((piece) => (piece.isExpression ? [parseExpression(piece.text)] : [])),
    );
  });
}

function attempt(place: Place, parse: () => readonly Expression[]): StepExpression[] {
  try {
    return parse().map((tree) => ({ place, tree }));
  } catch (error) {
    if (error instanceof ExpressionError) return [{ place, error }];
    throw error;
  }
}

/** The names of the steps that a step's expressions and `after` name, sorted. */
export function needsOf(step: PlanStep): string[] {
  const names = new Set(step.after ?? []);
  const inner = isComposite(step) ? step.steps : [];
  const own = new Set(inner.map(({ name }) => name));
  for (const { tree, place } of expressionsOf(step)) {
    for (const parts of tree === undefined ? [] : referencesOf(tree)) {
      const name = parts[0] === 'steps' ? parts[1] : undefined;
      if (name === undefined || (place.role === 'output' && own.has(String(name)))) continue;
      names.add(String(name));
    }
  }
  for (const need of inner.flatMap(needsOf)) if (!own.has(need)) names.add(need);
  return [...names].sort();
}

/** A step with its `needs` and those of its inner steps, which follow from what they name. */
export function withNeeds(step: PlanStep): PlanStep {
  const needs = needsOf(step);
  return isComposite(step)
    ? { ...step, steps: step.steps.map(withNeeds), needs }
    : { ...step, needs };
}
