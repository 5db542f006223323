import { AppError } from '../errors/app-error';
import type { Graph, GraphNode, NodeGroup, NodeSettings } from '../schemas/graph';
import type { Params, Plan, StepSpec } from '../schemas/plan';
import { emptyList, isKnownLate, itemsOf } from './items';
import type { Item } from './items';
import { retryDelays } from './retry-delays';

const NODES_MAX = 10_000; // PLAN_LIMITS.stepsMax
/** How long a step may go on after SIGTERM unless it says otherwise. */
const GRACE_SECONDS = 120;

/**
 * The graph of one run: a foreach step becomes one node per item, `train[0]`, `train[1]`, …, and a
 * join `train`. A list that only an earlier step gives is left as one node until it is known.
 */
export function expandGraph(plan: Plan, params: Params): Graph {
  const nodes: GraphNode[] = [];
  const groups: Record<string, NodeGroup> = {};
  for (const [settings, step] of plan.steps.entries()) {
    const add = (node: Omit<GraphNode, 'index' | 'settings'>): void => {
      nodes.push({ ...node, index: nodes.length, settings });
    };
    const { name: key, needs } = step;
    if (step.foreach !== undefined) groups[key] = groupFor(step);
    if (step.foreach === undefined) add({ key, kind: 'step', needs });
    else if (isKnownLate(step)) add({ key, kind: 'expand', needs });
    else {
      const items = itemsOf(step, { params });
      if (items.length === 0) throw emptyList(step);
      const keys = items.map((_, i) => `${key}[${i}]`);
      for (const [i, item] of items.entries()) {
        add({ key: keys[i] ?? key, kind: 'step', needs, group: key, item });
      }
      add({ key, kind: 'join', needs: keys });
    }
  }
  if (nodes.length > NODES_MAX) {
    const message = `The run has ${nodes.length} steps; at most ${NODES_MAX} are taken.`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  return { nodes, settings: plan.steps.map(settingsFor), groups };
}

/** The nodes of a foreach whose list was not known before; `scope` holds the outputs it is made of. */
export function expandItems(step: StepSpec, before: GraphNode, scope: Item): GraphNode[] {
  const { index, settings } = before;
  return itemsOf(step, scope).map((item, i) => {
    const key = `${before.key}[${i}]`;
    return { key, kind: 'step', index, needs: [], settings, group: before.key, item };
  });
}

function groupFor(step: StepSpec): NodeGroup {
  const { parallel = NODES_MAX, minSuccess = 1, stopAfter } = step;
  return { parallel, minSuccess, ...(stopAfter !== undefined && { stopAfter }) };
}

function settingsFor(step: StepSpec): NodeSettings {
  const { totalTimeoutSeconds, retry } = step;
  const asksForDelays = Object.keys(retry).length > 2; // more than max and on
  return {
    step: step.name,
    builtin: step.uses?.startsWith('builtin/') ?? false,
    conditional: step.if !== undefined || step.cache !== undefined,
    pool: step.pool,
    timeoutSeconds: step.timeoutSeconds,
    ...(totalTimeoutSeconds !== undefined && { totalTimeoutSeconds }),
    graceSeconds: step.checkpoint?.graceSeconds ?? GRACE_SECONDS,
    retry: { max: retry.max, on: retry.on, ...(asksForDelays && retryDelays(retry)) },
    priority: step.priority ?? 0,
  };
}
