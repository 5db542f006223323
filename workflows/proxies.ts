import {
  ActivityCancellationType,
  proxyActivities,
  type ActivityOptions,
} from '@temporalio/workflow';
import type { Activities } from '../activities';
import type { ExecuteStepInput, ExecuteStepResult } from '../schemas/attempts';
import type { NodeSettings } from '../schemas/graph';
import { poolQueue, PRIORITY_MIN } from './contract';

const SECOND_MS = 1_000;
/** A task that the server lost must not wait for ever; no run of ours waits longer by itself. */
const SCHEDULE_TO_CLOSE_MS = 7 * 24 * 3_600 * SECOND_MS;

/** A dead worker is noticed within this; workers beat every few seconds, whatever the activity does. */
const HEARTBEAT_TIMEOUT = '10s';

/** Bookkeeping in Postgres: short statements, repeated until the database is back. */
const bookkeeping: ActivityOptions = {
  startToCloseTimeout: '30s', // the statement timeout of our Postgres client
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  scheduleToCloseTimeout: SCHEDULE_TO_CLOSE_MS,
  retry: { initialInterval: '500ms', maximumInterval: '15s' }, // soon after an outage, yet no storm
  // an end must be written even though the run was cancelled
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
};
export const { beginHandlers, beginRun, decideStep, finishRun, loadSegment, recordTransitions } =
  proxyActivities<Omit<Activities, 'changeAlias' | 'executeBuiltin' | 'recordControl'>>(
    bookkeeping,
  );
/** Somebody waits for the answer, so it goes before the steps. */
export const { recordControl } = proxyActivities<Pick<Activities, 'recordControl'>>({
  ...bookkeeping,
  priority: { priorityKey: PRIORITY_MIN },
});

/** Built-in steps are idempotent, so Temporal itself repeats them; one summary per step. */
export async function executeBuiltin(input: ExecuteStepInput, priorityKey: number): Promise<void> {
  const proxy = proxyActivities<Pick<Activities, 'executeBuiltin'>>({
    ...bookkeeping,
    startToCloseTimeout: '90s', // registering waits for the model's alias workflow, up to 60 s
    activityId: `${input.stepKey}#${input.attempt}`,
    summary: input.stepKey,
    priority: { priorityKey },
  });
  await proxy.executeBuiltin(input);
}

/**
 * Beyond timeout and grace, which the worker keeps itself: time to bring inputs and to upload
 * outputs and the last checkpoint, tens of GB at worst. Heartbeats guard this time, too.
 */
const TRANSFER_MARGIN_MS = 3_600 * SECOND_MS;

/** One attempt of a step on any worker of its pool; the workflow alone decides on another one. */
export async function executeStep(
  { pool, timeoutSeconds, graceSeconds }: NodeSettings,
  input: ExecuteStepInput,
  priorityKey: number,
): Promise<void> {
  const startToCloseMs = (timeoutSeconds + graceSeconds) * SECOND_MS + TRANSFER_MARGIN_MS;
  const proxy = proxyActivities<{
    executeStep(input: ExecuteStepInput): Promise<ExecuteStepResult>;
  }>({
    taskQueue: poolQueue(pool),
    activityId: `${input.stepKey}#${input.attempt}`,
    summary: `${input.stepKey} attempt ${input.attempt}`,
    priority: { priorityKey },
    heartbeatTimeout: HEARTBEAT_TIMEOUT,
    startToCloseTimeout: startToCloseMs,
    scheduleToCloseTimeout: SCHEDULE_TO_CLOSE_MS + startToCloseMs,
    retry: { maximumAttempts: 1 }, // placing, classes and budgets are decided in run-step.ts
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
  await proxy.executeStep(input);
}
