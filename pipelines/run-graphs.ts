import { expandGraph } from '../dag/expand';
import { withHandlers } from '../dag/handlers';
import { placeSteps, showGraph, type PlacedGraph } from '../dag/placed-graph';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type { RunGraph, StepCounts } from '../schemas/run-graph';
import { countSteps, listBriefSteps } from '../storage/postgres/step-list';
import { getPipelineRun, type PipelineRunDeps } from './pipeline-runs';
import { planOfRun } from './plans';

interface RunKey {
  readonly projectId: string;
  readonly runId: string;
}

/** The graph of a run with the state of every node: worked out again from plan, params and rows. */
export async function placeRun(
  deps: PipelineRunDeps,
  projectId: string,
  run: PipelineRun,
): Promise<PlacedGraph> {
  const [plan, steps] = await Promise.all([
    planOfRun(deps, { projectId, runId: run.id, planId: run.planId }),
    listBriefSteps(deps.postgres, { projectId, runId: run.id }),
  ]);
  const keys = new Set(steps.map(({ key }) => key));
  const graph = withHandlers(expandGraph(plan, run.params), plan, (key) => keys.has(key));
  return placeSteps(graph, steps);
}

/** The graph of a run as it is shown, or NOT_FOUND. */
export async function readRunGraph(
  deps: PipelineRunDeps,
  { projectId, runId, isFull }: RunKey & { readonly isFull: boolean },
): Promise<RunGraph> {
  const run = await getPipelineRun(deps, { projectId, id: runId });
  return showGraph(await placeRun(deps, projectId, run), { isFull });
}

/** One run with the counts of its steps, or NOT_FOUND. */
export async function readRunWithCounts(
  deps: PipelineRunDeps,
  { projectId, runId }: RunKey,
): Promise<PipelineRun & { readonly steps: StepCounts }> {
  const run = await getPipelineRun(deps, { projectId, id: runId });
  const byStatus = await countSteps(deps.postgres, { projectId, runId });
  const total = Object.values(byStatus).reduce((sum, count) => sum + count, 0);
  return { ...run, steps: { total, byStatus } };
}
