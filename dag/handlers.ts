import type { Graph, GraphNode, RunOutcome } from '../schemas/graph';
import type { Plan, StepSpec } from '../schemas/plan';
import { namesOf } from './names';
import type { Names } from './names';
import { settingsOf } from './templates';

/** The lists of handlers by the key under which they stand in the file and in the graph. */
export function handlersOf(plan: Plan): Readonly<Record<string, readonly StepSpec[]>> {
  const { onSuccess = [], onFailure = [], always = [] } = plan;
  return { on_success: onSuccess, on_failure: onFailure, always };
}

/** True for a plan of which something runs when its steps have ended. */
export function hasHandlers(plan: Plan): boolean {
  return Object.values(handlersOf(plan)).some((list) => list.length > 0);
}

/** A handler with the key of its node, `on_failure.notify`, as its name: what its row holds. */
export function handlerSteps(plan: Plan, outcome: RunOutcome): StepSpec[] {
  const lists = handlersOf(plan);
  const own = { succeeded: 'on_success', failed: 'on_failure', cancelled: undefined }[outcome];
  const keys = own === undefined ? ['always'] : [own, 'always'];
  return keys.flatMap((key) =>
    (lists[key] ?? []).map((step) => ({ ...step, name: `${key}.${step.name}` })),
  );
}

/**
 * What runs when all steps have ended: one handler after the other, however those before it end.
 * After a cancel only `always` runs. `settings` go with `handlerSteps`, position by position.
 */
export function handlerGraph(plan: Plan, outcome: RunOutcome): Graph {
  const steps = handlerSteps(plan, outcome);
  const nodes = steps.map(({ name: key }, index): GraphNode => {
    const before = steps[index - 1]?.name;
    const after = before === undefined ? {} : { after: [before] };
    return { key, kind: 'step', index, needs: [], ...after, settings: index };
  });
  const settings = steps.map((spec) => settingsOf({ spec, path: spec.name }));
  return { nodes, settings, groups: {}, order: 2 };
}

/** The graph of a run with those of its handlers that have a row, behind its steps. */
export function withHandlers(graph: Graph, plan: Plan, hasRow: (key: string) => boolean): Graph {
  const outcomes = ['succeeded', 'failed', 'cancelled'] as const;
  // the rows of `always` are among those of every outcome
  const [begun] = outcomes
    .map((outcome) => handlerGraph(plan, outcome))
    .filter(({ nodes }) => nodes.every(({ key }) => hasRow(key)))
    .sort((a, b) => b.nodes.length - a.nodes.length);
  if (begun === undefined) return graph;
  const { nodes, settings } = behind(begun, graph);
  return {
    ...graph,
    nodes: [...graph.nodes, ...nodes],
    settings: [...graph.settings, ...settings],
  };
}

function behind(handlers: Graph, { nodes, settings }: Graph): Graph {
  const moved = handlers.nodes.map((node) => ({
    ...node,
    index: nodes.length + node.index,
    settings: settings.length + node.settings,
  }));
  return { ...handlers, nodes: moved };
}

/** The names that a handler may use: all steps of the plan, and the run's end. */
export function handlerNames(plan: Plan): Names {
  return { ...namesOf(plan), isHandler: true };
}
