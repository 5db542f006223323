import { AppError } from '../errors/app-error';
import type { Graph, GraphNode, Params, Plan, StepSpec } from '../schemas/plan';
import { evaluate, parseExpression } from './expressions';

const ITEMS_MAX = 1_024; // PLAN_LIMITS.foreachItemsMax
const NODES_MAX = 500; // PLAN_LIMITS.stepsMax
/** How long a step may go on after SIGTERM unless it says otherwise. */
const GRACE_SECONDS = 120;

/** The graph of one run: a foreach step becomes one node per item, `train[0]`, `train[1]`, … */
export function expandGraph(plan: Plan, params: Params): Graph {
  const keysOf = new Map<string, readonly string[]>();
  const items = new Map<string, readonly Readonly<Record<string, unknown>>[] | undefined>();
  for (const step of plan.steps) {
    const list = itemsOf(step, params);
    items.set(step.name, list);
    keysOf.set(step.name, list?.map((_, i) => `${step.name}[${i}]`) ?? [step.name]);
  }
  const nodes: GraphNode[] = [];
  for (const step of plan.steps) {
    const needs = step.needs.flatMap((name) => keysOf.get(name) ?? []);
    const list = items.get(step.name);
    for (const [i, key] of (keysOf.get(step.name) ?? []).entries()) {
      nodes.push(toNode(step, { key, needs, index: nodes.length, item: list?.[i] }));
    }
  }
  if (nodes.length > NODES_MAX) {
    const message = `The run has ${nodes.length} steps; this version carries out at most ${NODES_MAX}.`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  return { nodes, params };
}

function toNode(
  step: StepSpec,
  node: Pick<GraphNode, 'key' | 'needs' | 'index' | 'item'>,
): GraphNode {
  return {
    ...node,
    step: step.name,
    if: step.if,
    group:
      step.foreach === undefined
        ? undefined
        : { name: step.name, parallel: step.parallel ?? ITEMS_MAX },
    builtin: step.uses?.startsWith('builtin/') ?? false,
    pool: step.pool,
    timeoutSeconds: step.timeoutSeconds,
    graceSeconds: step.checkpoint?.graceSeconds ?? GRACE_SECONDS,
    retry: step.retry,
  };
}

function itemsOf(
  step: StepSpec,
  params: Params,
): readonly Readonly<Record<string, unknown>>[] | undefined {
  const [entry] = Object.entries(step.foreach ?? {});
  if (entry === undefined) return undefined;
  const [variable, text] = entry;
  const list = evaluate(parseExpression(text), { params });
  if (!Array.isArray(list)) {
    throw new AppError(
      'INVALID_ARGUMENT',
      `The foreach of step '${step.name}' is not over a list.`,
    );
  }
  if (list.length === 0) {
    const message = `The foreach of step '${step.name}' has no items: ${text} is an empty list.`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  if (list.length > ITEMS_MAX) {
    const message = `The foreach of '${step.name}' has ${list.length} items; at most ${ITEMS_MAX}.`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  return list.map((value: unknown) => ({ [variable]: value }));
}
