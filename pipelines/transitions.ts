import type { StepStatus, Transition } from '../schemas/pipeline-runs';
import { closeRunsOfSteps, type EndedStep } from '../storage/postgres/runs';
import { expireStepTokens } from '../storage/postgres/tokens';
import * as stored from '../storage/postgres/transitions';
import { getPipelineRun, type PipelineRunDeps } from './pipeline-runs';

/**
 * Writes a batch of transitions in one transaction; repeating it changes nothing. Tracked runs of
 * steps that have ended are closed with them, whatever became of their workers.
 */
export async function recordTransitions(
  deps: PipelineRunDeps,
  batch: stored.RecordTransitions,
): Promise<void> {
  if (batch.transitions.length === 0) return;
  const steps = batch.transitions.filter((t): t is typeof t & EndedStep => isEnd(t.status));
  await deps.postgres.transaction(async (sql) => {
    await stored.recordTransitions(sql, batch);
    const stepKeys = steps.filter(({ status }) => status !== 'succeeded').map((t) => t.stepKey);
    // their attempts are over, or nobody wants to hear of them: success is told by the step itself
    if (stepKeys.length > 0) await expireStepTokens(sql, { ...batch, stepKeys, seconds: 0 });
    await closeRunsOfSteps(sql, { ...batch, pipelineRunId: batch.runId, steps });
  });
}

/** True if a step that may have run shows this for good. */
function isEnd(status: StepStatus): status is EndedStep['status'] {
  return status === 'succeeded' || status === 'failed' || status === 'cancelled';
}

/** What happened to the steps of a run behind the transition `after`, oldest first, or NOT_FOUND. */
export async function listTransitions(
  deps: PipelineRunDeps,
  list: Parameters<typeof stored.listTransitions>[1],
): Promise<Transition[]> {
  await getPipelineRun(deps, { projectId: list.projectId, id: list.runId });
  return stored.listTransitions(deps.postgres, list);
}
