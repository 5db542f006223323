import { AppError } from '../errors/app-error';
import type { StepSpec } from '../schemas/plan';
import { evaluate, parseExpression, referencesOf } from './expressions';

const ITEMS_MAX = 1_024; // PLAN_LIMITS.foreachItemsMax: unless the step says more

/** The values of a foreach's variables in one item. */
export type Item = Readonly<Record<string, unknown>>;
type Foreach = Pick<StepSpec, 'name' | 'foreach' | 'itemsMax'>;

/** True if a list of a foreach comes from an earlier step. */
export function isKnownLate(step: Pick<StepSpec, 'foreach'>): boolean {
  const paths = Object.values(step.foreach ?? {}).flatMap((text) =>
    referencesOf(parseExpression(text)),
  );
  return paths.some(([root]) => root === 'steps');
}

/**
 * The items of a foreach: of several variables every combination, the last one changing fastest.
 * INVALID_ARGUMENT if one gives no list, or if they are more than the step takes.
 */
export function itemsOf(step: Foreach, scope: Item): Item[] {
  const foreach = `The foreach of step '${step.name}'`;
  const lists = Object.entries(step.foreach ?? {}).map(([variable, text]) => {
    const list = evaluate(parseExpression(text), scope);
    if (Array.isArray(list)) return [variable, list as readonly unknown[]] as const;
    throw new AppError('INVALID_ARGUMENT', `${foreach} is not over a list: ${text}.`);
  });
  const count = lists.reduce((product, [, list]) => product * list.length, 1);
  const most = step.itemsMax ?? ITEMS_MAX;
  if (count > most) {
    const hint = most < 10_000 ? ' Raise items_max if so many are meant.' : '';
    const message = `${foreach} has ${count} items; at most ${most} are taken.${hint}`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  return lists.reduce<Item[]>(
    (items, [variable, list]) =>
      items.flatMap((item) => list.map((value) => ({ ...item, [variable]: value }))),
    [{}],
  );
}

/** The refusal of a foreach that has no items. */
export function emptyList({ name, foreach }: Foreach): AppError {
  const text = Object.values(foreach ?? {}).join(' × ');
  const message = `The foreach of step '${name}' has no items: ${text} is an empty list.`;
  return new AppError('INVALID_ARGUMENT', message);
}
