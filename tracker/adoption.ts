import { AppError } from '../errors/app-error';
import type { Run } from '../schemas/runs';
import type { Principal } from '../schemas/tokens';
import type { Sql } from '../storage/postgres/client';
import {
  adoptRun,
  countRunsOfAttempt,
  insertRun,
  lockStepOfRun,
  selectNewestAttempt,
  setTrackedRun,
} from '../storage/postgres/runs';
import type { NewRun } from '../storage/postgres/runs';

/**
 * Run adoption: the n-th create of an attempt, for the same experiment and nesting, is the n-th run
 * that an earlier attempt of the step made, set back to RUNNING. Curves continue, scripts unchanged.
 * n is counted in the runs themselves: those that this attempt has made or adopted so far. So a
 * client that sends a create again, because its answer was lost, gets a further run, as from MLflow:
 * a repetition looks exactly like a second create of another thread in the same millisecond, and to
 * take two runs for one would mix their data. A step may say that its attempts adopt nothing.
 */
export async function createOrAdoptRun(
  sql: Sql,
  input: {
    readonly run: Omit<NewRun, 'step'>;
    readonly step: NonNullable<Principal['attempt']>;
    readonly nested: boolean;
  },
): Promise<{ readonly run: Run; readonly adopted: boolean }> {
  const { run, nested } = input;
  const { runId: pipelineRunId, stepKey, attempt } = input.step;
  const at = { projectId: run.projectId, pipelineRunId, stepKey, attempt };
  const step = await lockStepOfRun(sql, at);
  if (step === undefined) {
    throw new AppError('NOT_FOUND', `No step '${stepKey}' of pipeline run '${pipelineRunId}'.`);
  }
  await assertNewestAttempt(sql, at);
  const prefix = `${run.experimentId}/${nested ? 'nested' : 'top'}/`;
  const count = await countRunsOfAttempt(sql, { ...at, prefix });
  const own = step.adopt === null ? '' : `attempt-${attempt}/`; // no other attempt's key is the same
  const adoptionKey = `${prefix}${own}${count}`;
  const earlier = await adoptRun(sql, { ...at, adoptionKey });
  const made =
    earlier ??
    (await insertRun(sql, { ...run, step: { pipelineRunId, stepKey, attempt, adoptionKey } }));
  if (!nested && step.adopt !== 'off') {
    const replacesOlder = step.adopt === 'new'; // that of an older attempt, none of this one
    await setTrackedRun(sql, { ...at, runId: made.id, replacesOlder });
  }
  return { run: made, adopted: earlier !== undefined };
}

/** Refuses writes of an attempt after a newer one of its step has begun. */
export async function assertNewestAttempt(
  sql: Sql,
  at: {
    readonly projectId: string;
    readonly pipelineRunId: string;
    readonly stepKey: string;
    readonly attempt: number;
  },
): Promise<void> {
  const newest = await selectNewestAttempt(sql, at);
  if (newest <= at.attempt) return;
  const message = `Attempt ${at.attempt} of step '${at.stepKey}' was replaced by attempt ${newest}.`;
  throw new AppError('ATTEMPT_SUPERSEDED', message);
}
