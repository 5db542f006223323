import type { StepSpec } from '../schemas/plan';
import { ExpressionError, parseExpression, referencesOf } from './expressions';
import type { Expression } from './expressions';
import { parseTemplate, templatesIn } from './template';

/** Where an expression stands inside a step, and which roots it may read. */
export interface Place {
  readonly path: string;
  /** `value`: becomes text or JSON; `input`: may be an artifact; `condition`, `list`: as they say. */
  readonly role: 'value' | 'input' | 'condition' | 'list';
  readonly roots: readonly string[];
}

/** One expression of a step, or why it cannot be read. */
export type StepExpression =
  | { readonly place: Place; readonly tree: Expression; readonly error?: never }
  | { readonly place: Place; readonly error: ExpressionError; readonly tree?: never };

const ROOTS = ['params', 'item', 'steps'];
/** Paths of inputs exist only where the step runs: in its command and its environment. */
const ROOTS_ON_NODE = [...ROOTS, 'inputs'];

/** Every expression of a step, parsed, in the order of the step's keys. */
export function expressionsOf(step: StepSpec): StepExpression[] {
  const bare = (path: string, text: string, role: Place['role']): StepExpression[] => {
    const place = { path, role, roots: role === 'list' ? ['params', 'steps'] : ROOTS };
    return attempt(place, () => [parseExpression(text)]);
  };
  const free = (path: string, text: string, roots: readonly string[]): StepExpression[] =>
    attempt({ path, role: 'value', roots }, () =>
      parseTemplate(text).filter((part) => typeof part !== 'string'),
    );
  const { inputs = {}, foreach = {}, argv = [], env = {} } = step;
  return [
    ...Object.entries(inputs).flatMap(([key, text]) => bare(`.inputs.${key}`, text, 'input')),
    ...Object.entries(foreach).flatMap(([key, text]) => bare(`.foreach.${key}`, text, 'list')),
    ...(step.if === undefined ? [] : bare('.if', step.if, 'condition')),
    ...argv.flatMap((text, i) => free(`.argv[${i}]`, text, ROOTS_ON_NODE)),
    ...Object.entries(env).flatMap(([key, text]) => free(`.env.${key}`, text, ROOTS_ON_NODE)),
    ...Object.entries(step.with ?? {}).flatMap(([key, value]) =>
      templatesIn(value).flatMap((text) => free(`.with.${key}`, text, ROOTS)),
    ),
    ...(step.cache?.values ?? []).flatMap((text) => bare('.cache.key', text, 'value')),
  ];
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
export function needsOf(step: StepSpec): string[] {
  const names = new Set(step.after ?? []);
  for (const { tree } of expressionsOf(step)) {
    for (const parts of tree === undefined ? [] : referencesOf(tree)) {
      if (parts[0] === 'steps' && parts[1] !== undefined) names.add(String(parts[1]));
    }
  }
  return [...names].sort();
}
