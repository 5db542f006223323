import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import { CancellationScope, sleep } from '@temporalio/workflow';
import type { GraphNode, Outputs } from '../schemas/plan';
import { executeBuiltin, executeStep } from './proxies';
import { classify, decideRetry, isInfrastructure, type FailureCounts } from './retry';
import type { TransitionLog } from './transition-log';

/** The run that a step belongs to, as its steps see it. */
export interface StepContext {
  readonly projectId: string;
  readonly runId: string;
  readonly log: TransitionLog;
}
/** How a step ended. */
export type StepEnd =
  | { readonly key: string; readonly end: 'succeeded'; readonly outputs: Outputs }
  | { readonly key: string; readonly end: 'failed'; readonly reason: string }
  | { readonly key: string; readonly end: 'cancelled' };

/** Runs a step to its end: attempt after attempt until one commits or a budget is spent. */
export async function runStep(context: StepContext, node: GraphNode): Promise<StepEnd> {
  if (node.builtin) return runBuiltin(context, node);
  let counts: FailureCounts = { user: 0, infrastructure: 0 };
  for (let attempt = 1; ; attempt += 1) {
    const reason = `waiting for a worker of pool ${node.pool}`;
    context.log.add({ stepKey: node.key, attempt, state: 'ready', reason });
    try {
      const { outputs } = await executeStep(node, inputOf(context, node, attempt));
      return succeed(context, { node, attempt, outputs });
    } catch (error) {
      if (isCancelled()) return cancel(context, node, attempt);
      const ended = failAttempt(context, { node, attempt, error, counts });
      if ('end' in ended) return ended;
      if (!(await pause(ended.delayMs))) return cancel(context, node, attempt);
      counts = ended.counts;
    }
  }
}

function inputOf(
  { projectId, runId }: StepContext,
  node: GraphNode,
  attempt: number,
): Parameters<typeof executeStep>[1] {
  const { key: stepKey, timeoutSeconds, graceSeconds } = node;
  return { projectId, runId, stepKey, attempt, timeoutSeconds, graceSeconds };
}

/** Idempotent and quick, so Temporal repeats it and there is one attempt only. */
async function runBuiltin(context: StepContext, node: GraphNode): Promise<StepEnd> {
  const { projectId, runId, log } = context;
  const attempt = 1;
  log.add({ stepKey: node.key, attempt, state: 'started', reason: 'on the control worker' });
  try {
    const { outputs } = await executeBuiltin(node, { projectId, runId });
    return succeed(context, { node, attempt, outputs });
  } catch (error) {
    if (isCancelled()) return cancel(context, node, attempt);
    const cause = error instanceof ActivityFailure ? error.cause : error;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const failureClass = cause instanceof ApplicationFailure ? 'data' : 'timeout';
    log.add({ stepKey: node.key, attempt, state: 'failed', reason, failureClass });
    return { key: node.key, end: 'failed', reason };
  }
}

interface FailedAttempt {
  readonly node: GraphNode;
  readonly attempt: number;
  readonly error: unknown;
  readonly counts: FailureCounts;
}

/** Classifies a failed attempt: the end of the step, or how long to wait for the next attempt. */
function failAttempt(
  context: StepContext,
  { node, attempt, error, counts }: FailedAttempt,
): StepEnd | { readonly delayMs: number; readonly counts: FailureCounts } {
  const { failureClass, reason } = classify(error);
  const decision = decideRetry(node, failureClass, counts);
  const isLost = isInfrastructure(failureClass);
  const step = { stepKey: node.key, attempt, failureClass, isLost };
  if (!decision.isRetried) {
    const why = `${failureClass}: ${reason} (${decision.why})`;
    context.log.add({ ...step, state: 'failed', reason: why });
    return { key: node.key, end: 'failed', reason: why };
  }
  const when = decision.delayMs === 0 ? 'now' : `in ${decision.delayMs / 1000} s`;
  const why = `${failureClass}: ${reason}; attempt ${attempt + 1} ${when}`;
  context.log.add({ ...step, state: 'retrying', reason: why });
  return {
    delayMs: decision.delayMs,
    counts: {
      user: counts.user + (isLost ? 0 : 1),
      infrastructure: counts.infrastructure + (isLost ? 1 : 0),
    },
  };
}

/** Waits, also through restarts of everything; false if the run was cancelled meanwhile. */
async function pause(delayMs: number): Promise<boolean> {
  if (delayMs === 0) return true;
  try {
    await sleep(delayMs);
    return true;
  } catch (error) {
    if (isCancelled()) return false;
    throw error;
  }
}

function succeed(
  context: StepContext,
  { node, attempt, outputs }: Omit<FailedAttempt, 'error' | 'counts'> & { outputs: Outputs },
): StepEnd {
  context.log.add({ stepKey: node.key, attempt, state: 'succeeded' });
  return { key: node.key, end: 'succeeded', outputs };
}

function cancel(context: StepContext, node: GraphNode, attempt: number): StepEnd {
  const reason = 'the run was cancelled';
  context.log.add({ stepKey: node.key, attempt, state: 'cancelled', reason });
  return { key: node.key, end: 'cancelled' };
}

function isCancelled(): boolean {
  return CancellationScope.current().consideredCancelled;
}
