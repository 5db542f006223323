import { AppError } from '../errors/app-error';
import type { PipelineRun } from '../schemas/pipeline-runs';
import { isEnded } from '../dag/placed-graph';
import * as stored from '../storage/postgres/pipeline-runs';
import { listHandlers } from '../storage/postgres/steps';
import type { ControlRun } from '../workflows/contract';
import {
  finishPipelineRun,
  getPipelineRun,
  type PipelineRunDeps,
  type PipelineRunStart,
} from './pipeline-runs';
import { deadlineFrom } from './run-deadlines';
import { placeControl } from './steered-steps';

/**
 * Asks a run to stop; its steps get the time to save, and its pause ends. INVALID_STATE if it has ended,
 * or its steps have: a cancel does not reach its handlers.
 */
export async function cancelPipelineRun(
  deps: PipelineRunStart,
  cancel: stored.PipelineRunKey & { readonly actor: string },
): Promise<PipelineRun> {
  await assertOpen(deps, cancel);
  await assertNoHandlers(deps, cancel);
  const answer = await deps.starter.cancelPipelineRun(cancel.id);
  await stored.cancelPipelineRun(deps.postgres, cancel); // the workflow ends its pause, too
  if (answer === 'gone') {
    // somebody terminated the workflow, so it could not write its own end
    const reason = 'its workflow was ended from outside';
    const { projectId, id: runId } = cancel;
    await finishPipelineRun(deps, { projectId, runId, status: 'cancelled', reason });
  }
  return getPipelineRun(deps, cancel);
}

/**
 * Steers a run that is under way; its workflow writes what it takes. INVALID_STATE says why it cannot be done,
 * NOT_FOUND that the run has no such step.
 */
export async function controlPipelineRun(
  deps: PipelineRunStart,
  key: stored.PipelineRunKey,
  control: ControlRun,
): Promise<PipelineRun> {
  const run = await assertOpen(deps, key);
  const { projectId } = key;
  const asked =
    control.action === 'skip' || control.action === 'retry'
      ? await placeControl(deps, { projectId, run, control })
      : settled(control);
  if ((await deps.starter.controlPipelineRun(key.id, asked)) === 'gone') {
    throw new AppError('INVALID_STATE', `The run '${key.id}' is not under way any more.`);
  }
  return getPipelineRun(deps, key);
}

export interface RecordControl {
  readonly projectId: string;
  readonly runId: string;
  readonly control: ControlRun;
  /** When the run's workflow has taken it; each change of a run has a time of its own. */
  readonly atMs: number;
}

/**
 * Writes what a run has taken, and who asked for it. A pause that is written here holds every attempt
 * that has not begun. What is older than the newest change of the run, or the same, changes nothing.
 */
export async function recordControl(deps: PipelineRunDeps, change: RecordControl): Promise<void> {
  const { projectId, runId: id, control, atMs } = change;
  const { actor, reason, action, ...detail } = control;
  await stored.steerPipelineRun(deps.postgres, {
    ...{ projectId, id, actor, action, at: new Date(atMs) },
    detail: { ...detail, reason },
    ...(action === 'pause' || action === 'continue' ? { isPaused: action === 'pause' } : {}),
    ...(control.action === 'priority' ? { priority: control.priority } : {}),
    ...(control.action === 'deadline' ? { deadlineAt: dateOf(control.deadline) } : {}),
  });
}

/** With a point in time instead of a duration. INVALID_ARGUMENT for a deadline that is none. */
function settled(control: ControlRun): ControlRun {
  if (control.action !== 'deadline' || control.deadline === null) return control;
  return { ...control, deadline: deadlineFrom(control.deadline) };
}

function dateOf(time: string | null): Date | null {
  return time === null ? null : new Date(time);
}

async function assertNoHandlers(deps: PipelineRunDeps, run: stored.PipelineRunKey): Promise<void> {
  const { projectId, id } = run;
  const handlers = await listHandlers(deps.postgres, { projectId, runId: id });
  const open = handlers.find(({ status }) => !isEnded(status)) ?? handlers.at(-1);
  if (open === undefined) return;
  const message = `A cancel comes too late: the steps of the run '${id}' have ended, and its handlers run to their end.`;
  const hint = `A handler that hangs can be skipped: anneal run skip ${id} ${open.key}`;
  throw new AppError('INVALID_STATE', `${message} ${hint}`);
}

async function assertOpen(
  deps: PipelineRunStart,
  key: stored.PipelineRunKey,
): Promise<PipelineRun> {
  const run = await getPipelineRun(deps, key);
  if (run.endedAt === null) return run;
  throw new AppError('INVALID_STATE', `The run '${key.id}' has ended: ${run.status}.`);
}
