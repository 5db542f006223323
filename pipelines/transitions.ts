import type { Transition } from '../schemas/pipeline-runs';
import * as stored from '../storage/postgres/transitions';
import { getPipelineRun, type PipelineRunDeps } from './pipeline-runs';

/** Writes a batch of transitions in one transaction; repeating it changes nothing. */
export async function recordTransitions(
  deps: PipelineRunDeps,
  batch: stored.RecordTransitions,
): Promise<void> {
  if (batch.transitions.length === 0) return;
  await deps.postgres.transaction((sql) => stored.recordTransitions(sql, batch));
}

/** What happened to the steps of a run behind the transition `after`, oldest first, or NOT_FOUND. */
export async function listTransitions(
  deps: PipelineRunDeps,
  list: Parameters<typeof stored.listTransitions>[1],
): Promise<Transition[]> {
  await getPipelineRun(deps, { projectId: list.projectId, id: list.runId });
  return stored.listTransitions(deps.postgres, list);
}
