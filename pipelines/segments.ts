import { expandGraph } from '../dag/expand';
import { segmentsOf } from '../dag/segments';
import { rowOf, templatesOf } from '../dag/templates';
import { found } from '../errors/app-error';
import type { Graph, GraphNode, NodeSettings, Segment } from '../schemas/graph';
import type { Plan } from '../schemas/plan';
import type { Postgres } from '../storage/postgres/client';
import { findPipelineRun } from '../storage/postgres/pipeline-runs';
import type { InsertStep } from '../storage/postgres/steps';
import { getPlan } from './plans';

/** The rows of nodes: all but joins, which only tell that others have ended. */
export function toSteps(plan: Plan, nodes: readonly GraphNode[]): InsertStep[] {
  const { list } = templatesOf(plan);
  const rows = nodes.filter(({ kind }) => kind !== 'join');
  return rows.map(({ key, index, item, settings }) => ({
    key,
    index,
    item,
    spec: rowOf(found(list[settings], 'step', key), key),
  }));
}

/**
 * Marks the steps whose result may be there already: for them, too, the activity `decideStep` is asked.
 */
export function askForResults(graph: Graph, isResumed: boolean): Graph {
  if (!isResumed) return graph;
  return { ...graph, settings: graph.settings.map(askForResult) };
}

/** The same for the settings of one step: built-in ones always run. */
export function askForResult(settings: NodeSettings): NodeSettings {
  return settings.builtin ? settings : { ...settings, conditional: true };
}

/** One part of a large run for its workflow: worked out again from plan and params. */
export async function loadSegment(
  deps: { readonly postgres: Postgres },
  input: { readonly projectId: string; readonly runId: string; readonly segment: number },
): Promise<Segment> {
  const { projectId, runId, segment } = input;
  const run = found(
    await findPipelineRun(deps.postgres, { projectId, id: runId }),
    'pipeline run',
    runId,
  );
  const plan = await getPlan(deps, { projectId, id: run.planId });
  const graph = expandGraph(plan, run.params);
  const parts = segmentsOf(askForResults(graph, run.resumedFrom !== null));
  const part = found(parts[segment], 'segment', `${runId}/${segment}`);
  return { ...part, nodes: withoutItems(part.nodes) };
}

/** Items stay in Postgres: histories need the topology only. */
export function withoutItems(nodes: readonly GraphNode[]): GraphNode[] {
  return nodes.map((node) => ({ ...node, item: undefined })); // JSON leaves it out
}
