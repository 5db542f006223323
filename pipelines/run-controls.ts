import { AppError } from '../errors/app-error';
import type { PipelineRun } from '../schemas/pipeline-runs';
import * as stored from '../storage/postgres/pipeline-runs';
import type { ControlRun } from '../workflows/contract';
import { finishPipelineRun, getPipelineRun, type PipelineRunStart } from './pipeline-runs';

/** Asks a run to stop; its steps get the time to save, and its pause ends. INVALID_STATE if it has ended. */
export async function cancelPipelineRun(
  deps: PipelineRunStart,
  key: stored.PipelineRunKey,
): Promise<PipelineRun> {
  await assertOpen(deps, key);
  const answer = await deps.starter.cancelPipelineRun(key.id);
  if (answer === 'gone') {
    // somebody terminated the workflow, so it could not write its own end
    const reason = 'its workflow was ended from outside';
    const { projectId, id: runId } = key;
    await finishPipelineRun(deps, { projectId, runId, status: 'cancelled', reason });
  }
  await stored.endPause(deps.postgres, key); // the workflow has ended its pause, too
  return getPipelineRun(deps, key);
}

/** Steers a run that is under way. INVALID_STATE says why it cannot be done. */
export async function controlPipelineRun(
  deps: PipelineRunStart,
  key: stored.PipelineRunKey,
  control: ControlRun,
): Promise<PipelineRun> {
  await assertOpen(deps, key);
  if ((await deps.starter.controlPipelineRun(key.id, control)) === 'gone') {
    throw new AppError('INVALID_STATE', `The run '${key.id}' is not under way any more.`);
  }
  const { actor, reason, action, ...detail } = control;
  await stored.steerPipelineRun(deps.postgres, {
    ...key,
    actor,
    action,
    detail: { ...detail, reason },
    ...(action === 'pause' || action === 'continue' ? { isPaused: action === 'pause' } : {}),
    ...(control.action === 'priority' ? { priority: control.priority } : {}),
  });
  return getPipelineRun(deps, key);
}

async function assertOpen(deps: PipelineRunStart, key: stored.PipelineRunKey): Promise<void> {
  const run = await getPipelineRun(deps, key);
  if (run.endedAt === null) return;
  throw new AppError('INVALID_STATE', `The run '${key.id}' has ended: ${run.status}.`);
}
