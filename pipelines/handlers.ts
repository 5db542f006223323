import { expandGraph } from '../dag/expand';
import { handlerGraph, handlerSteps } from '../dag/handlers';
import type { EndedRun, Segment } from '../schemas/graph';
import { insertSteps } from '../storage/postgres/steps';
import { getPipelineRun, type PipelineRunDeps } from './pipeline-runs';
import { getPlan } from './plans';

export interface BeginHandlers extends EndedRun {
  readonly projectId: string;
  readonly runId: string;
}

/**
 * Writes the rows of the handlers of a run whose steps have ended in this way, behind those of its
 * steps, and answers with their graph; it may be empty. Idempotent.
 */
export async function beginHandlers(deps: PipelineRunDeps, begin: BeginHandlers): Promise<Segment> {
  const { projectId, runId, status, reason } = begin;
  const run = await getPipelineRun(deps, { projectId, id: runId });
  const plan = await getPlan(deps, { projectId, id: run.planId });
  const first = expandGraph(plan, run.params).nodes.length;
  const steps = handlerSteps(plan, status).map((spec, i) => ({
    key: spec.name,
    index: first + i,
    spec,
    item: undefined,
    run: { status, reason },
  }));
  await insertSteps(deps.postgres, { projectId, runId, steps });
  return { ...handlerGraph(plan, status), segment: 0, tells: [] };
}
