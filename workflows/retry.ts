import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  TimeoutFailure,
} from '@temporalio/common';
import { RETRY_DELAYS, retryDelays, type RetryDelays } from '../dag/retry-delays';
import type { NodeSettings } from '../schemas/graph';
import type { FailureClass } from '../schemas/plan';

/** Why an attempt ended badly. */
export interface AttemptFailure {
  readonly failureClass: FailureClass;
  readonly reason: string;
}
/** How often a step has failed so far, by whose fault it was. */
export interface FailureCounts {
  readonly user: number;
  readonly infrastructure: number;
}
export type RetryDecision =
  | { readonly isRetried: true; readonly delayMs: number }
  | { readonly isRetried: false; readonly why: string };

/** Attempts lost with their worker or node; more in one step means that the step itself ends nodes. */
const INFRASTRUCTURE_RETRIES_MAX = 20;
/** A lost attempt goes on at once; from the third in a row of losses the delays grow. */
const FREE_LOSSES = 3;
/** Long enough for the last lines of a traceback; the whole of it stands in the step's log. */
const REASON_CHARS_MAX = 2_000;

const INFRASTRUCTURE: readonly FailureClass[] = ['heartbeat', 'preempted', 'node-lost'];
const CLASSES: readonly string[] = [...INFRASTRUCTURE, 'crash', 'oom', 'timeout', 'data', 'quota'];
/** Failures that the SDK makes of a worker that shuts down or an operator who stops an attempt. */
const INTERRUPTIONS: readonly string[] = ['WorkerShutdown', 'ActivityPause', 'ActivityReset'];

/** Refusals that concern the node or the moment, not the step: another node may well run it. */
const NODE_REFUSED: readonly string[] = ['UNAUTHENTICATED', 'PERMISSION_DENIED', 'RATE_LIMITED'];

/** True for failures that the step itself did not cause. */
export function isInfrastructure(failureClass: FailureClass): boolean {
  return INFRASTRUCTURE.includes(failureClass);
}

/** True for an attempt that did not begin because its run is paused: nothing has failed. */
export function isHeld(error: unknown): boolean {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  return cause instanceof ApplicationFailure && cause.type === 'RUN_PAUSED';
}

/** The class and reason of what an `executeStep` activity threw. */
export function classify(error: unknown): AttemptFailure {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  const message = cause instanceof Error ? cause.message : String(cause);
  return { failureClass: classOf(cause), reason: message.slice(0, REASON_CHARS_MAX) };
}

function classOf(cause: unknown): FailureClass {
  if (cause instanceof CancelledFailure) return 'preempted'; // not by us: the worker went down
  if (cause instanceof TimeoutFailure) {
    if (cause.timeoutType === 'HEARTBEAT') return 'heartbeat';
    return cause.timeoutType === 'START_TO_CLOSE' ? 'timeout' : 'node-lost';
  }
  if (!(cause instanceof ApplicationFailure)) return 'node-lost';
  const type = cause.type ?? '';
  if (CLASSES.includes(type)) return type as FailureClass;
  if (INTERRUPTIONS.includes(type)) return 'preempted';
  if (NODE_REFUSED.includes(type)) return 'node-lost';
  // the api refused the step (a code of errors/codes.ts): it will do so again
  if (/^[A-Z][A-Z_]+$/.test(type) && cause.nonRetryable === true) return 'data';
  return 'node-lost';
}

/** Whether a failed step is tried again. `before` counts its failures before this one. */
export function decideRetry(
  node: Pick<NodeSettings, 'retry'>,
  failureClass: FailureClass,
  before: FailureCounts,
): RetryDecision {
  if (isInfrastructure(failureClass)) {
    const lost = before.infrastructure + 1;
    if (lost > INFRASTRUCTURE_RETRIES_MAX) {
      return {
        isRetried: false,
        why: `lost ${lost} times; ${INFRASTRUCTURE_RETRIES_MAX} are retried`,
      };
    }
    const waits = lost >= FREE_LOSSES;
    return { isRetried: true, delayMs: waits ? delayMs(lost - FREE_LOSSES, RETRY_DELAYS) : 0 };
  }
  const { max, on } = node.retry;
  if (!on.includes(failureClass))
    return { isRetried: false, why: `${failureClass} is not retried` };
  if (before.user >= max) return { isRetried: false, why: `no retry left of ${max}` };
  return { isRetried: true, delayMs: delayMs(before.user, retryDelays(node.retry)) };
}

/** The delay before the retry `n`, from 0 on. */
function delayMs(n: number, { delaySeconds, factor, maxDelaySeconds }: RetryDelays): number {
  return Math.round(Math.min(delaySeconds * factor ** n, maxDelaySeconds) * 1000);
}
