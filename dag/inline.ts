import type { CompositeSpec, DynamicSpec, Plan, PlanStep, StepSpec } from '../schemas/plan';
import { printExpression } from './expression-text';
import { ExpressionError, parseExpression, referencesOf } from './expressions';
import type { Expression } from './expressions';
import { isComposite, isDynamic } from './names';
import { piecesOf } from './template';

/** What the parameters of a sub-pipeline stand for where it is used. */
export type Values = ReadonlyMap<string, Expression>;

/** Names that mean something else inside than where the values were written. */
interface Bound {
  readonly steps: ReadonlySet<string>;
  readonly items: ReadonlySet<string>;
}

/**
 * The steps and outputs of another pipeline with its parameters replaced by what they stand for.
 * Throws ExpressionError if a value cannot be written where its parameter stands, or would mean
 * something else there.
 */
export function inlinePlan(
  { steps, outputs }: Pick<Plan, 'steps' | 'outputs'>,
  values: Values,
): Pick<CompositeSpec, 'steps' | 'outputs'> {
  const around = { steps: new Set<string>(), items: new Set<string>() };
  const names = new Set(steps.map(({ name }) => name));
  const write = bare(values, { ...around, steps: names });
  return {
    steps: inlineLevel(steps, values, around),
    ...(outputs && { outputs: mapTexts(outputs, write) }),
  };
}

function inlineLevel(steps: readonly PlanStep[], values: Values, around: Bound): PlanStep[] {
  const names = new Set([...around.steps, ...steps.map(({ name }) => name)]);
  return steps.map((step): PlanStep => {
    if (isDynamic(step))
      return inlineDynamic(step, bare(values, { steps: names, items: around.items }));
    const list = { steps: names, items: around.items };
    const items = new Set([...around.items, ...Object.keys(step.foreach ?? {})]);
    const inside = { steps: names, items };
    const order = {
      ...step,
      ...(step.foreach && { foreach: mapTexts(step.foreach, bare(values, list)) }),
      ...(step.if !== undefined && { if: bare(values, inside)(step.if) }),
    };
    if (!isComposite(order)) return inlineLeaf(order, values, inside);
    const inner = new Set([...names, ...order.steps.map(({ name }) => name)]);
    const output = bare(values, { steps: inner, items });
    return {
      ...order,
      ...(order.outputs && { outputs: mapTexts(order.outputs, output) }),
      steps: inlineLevel(order.steps, values, inside),
    };
  });
}

function inlineDynamic(step: DynamicSpec, write: (text: string) => string): DynamicSpec {
  const free = (text: string): string => inlineTemplate(text, write);
  return {
    ...step,
    pipeline: write(step.pipeline),
    ...(step.if !== undefined && { if: write(step.if) }),
    ...(step.with && { with: inlineJson(step.with, free) as NonNullable<DynamicSpec['with']> }),
  };
}

function inlineLeaf(step: StepSpec, values: Values, bound: Bound): StepSpec {
  const write = bare(values, bound);
  const free = (text: string): string => inlineTemplate(text, write);
  const { inputs, argv, env, cache } = step;
  return {
    ...step,
    ...(inputs && { inputs: mapTexts(inputs, write) }),
    ...(argv && { argv: argv.map(free) }),
    ...(env && { env: mapTexts(env, free) }),
    ...(step.with && { with: inlineJson(step.with, free) as NonNullable<StepSpec['with']> }),
    ...(cache?.values && { cache: { ...cache, values: cache.values.map(write) } }),
  };
}

function bare(values: Values, bound: Bound): (text: string) => string {
  return (text) => {
    const tree = parseExpression(text);
    const isTouched = referencesOf(tree).some(([root]) => root === 'params');
    return isTouched ? printExpression(replace(tree, values, bound)) : text;
  };
}

function inlineTemplate(text: string, write: (text: string) => string): string {
  if (!text.includes('${{')) return text;
  return piecesOf(text)
    .map((piece) => (piece.isExpression ? `\${{${spaced(piece.text, write)}}}` : piece.text))
    .join('');
}
function spaced(text: string, write: (text: string) => string): string {
  const written = write(text);
  return written === text ? text : ` ${written} `;
}

function inlineJson(value: unknown, free: (text: string) => string): unknown {
  if (typeof value === 'string') return free(value);
  if (Array.isArray(value)) return value.map((inner) => inlineJson(inner, free));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, inlineJson(v, free)]));
}

function replace(tree: Expression, values: Values, bound: Bound): Expression {
  switch (tree.kind) {
    case 'literal':
      return tree;
    case 'list':
      return { kind: 'list', items: tree.items.map((item) => replace(item, values, bound)) };
    case 'unary':
      return { ...tree, of: replace(tree.of, values, bound) };
    case 'binary':
      return {
        ...tree,
        left: replace(tree.left, values, bound),
        right: replace(tree.right, values, bound),
      };
    case 'path':
      return replacePath(tree.parts, values, bound);
  }
}

function replacePath(
  parts: readonly (string | number)[],
  values: Values,
  bound: Bound,
): Expression {
  const [root, name, ...rest] = parts;
  const value = root === 'params' ? values.get(String(name)) : undefined;
  if (value === undefined) return { kind: 'path', parts };
  for (const [from, what] of referencesOf(value)) {
    const names = from === 'steps' ? bound.steps : from === 'item' ? bound.items : undefined;
    if (names?.has(String(what)) !== true) continue;
    const text = `'${String(from)}.${String(what)}' means something else inside`;
    throw new ExpressionError(
      `${text} (for params.${String(name)}): give one of them another name`,
      1,
    );
  }
  if (rest.length === 0) return value;
  if (value.kind === 'path') return { kind: 'path', parts: [...value.parts, ...rest] };
  const [position] = rest;
  const item =
    value.kind === 'list' && rest.length === 1 ? value.items[Number(position)] : undefined;
  if (item !== undefined) return item;
  throw new ExpressionError(`'${parts.join('.')}' goes into a value that has no such part`, 1);
}

function mapTexts(
  record: Readonly<Record<string, string>>,
  map: (text: string) => string,
): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([key, text]) => [key, map(text)]));
}
