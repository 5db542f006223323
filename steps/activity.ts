import { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { isAppError } from '../errors/app-error';
import type { ExecuteStepInput, ExecuteStepResult } from '../schemas/attempts';
import type { NodeContext, StepSignals } from './attempt';
import { executeStep } from './execute-step';
import { isReplaced } from './run-process';

/**
 * The activity `executeStep`: idempotency key = (run, step, attempt), the first commit wins. Failures
 * carry their class as `type`; the workflow alone decides on another attempt.
 */
export function createExecuteStep(
  node: NodeContext,
): (input: ExecuteStepInput) => Promise<ExecuteStepResult> {
  return async function executeStepActivity(input) {
    const context = Context.current();
    const outcome = await run(node, input, context);
    switch (outcome.kind) {
      case 'succeeded':
        return outcome.result;
      case 'cancelled':
        throw new CancelledFailure('the step was cancelled');
      case 'failed':
        throw ApplicationFailure.create({
          type: outcome.failure.failureClass,
          message: outcome.failure.reason,
          nonRetryable: true,
        });
    }
  };
}

async function run(
  node: NodeContext,
  input: ExecuteStepInput,
  context: Context,
): ReturnType<typeof executeStep> {
  try {
    return await executeStep(node, input, signalsOf(context));
  } catch (error) {
    // the api refuses this step (its code is the class); or it refuses this node or attempt, or
    // cannot be reached: then another attempt, perhaps elsewhere, may do better
    const isOfStep =
      isAppError(error) &&
      error.row.fault === 'user' &&
      error.code !== 'PERMISSION_DENIED' &&
      !isReplaced(error);
    throw ApplicationFailure.create({
      type: isOfStep ? error.code : 'node-lost',
      message: error instanceof Error ? error.message : String(error),
      nonRetryable: true,
    });
  }
}

function signalsOf(context: Context): StepSignals {
  return {
    heartbeat: (details) => {
      context.heartbeat(details);
    },
    stop: context.cancelled.catch(() => causeOf(context.cancellationDetails)),
  };
}

/** Paused and reset activities save and leave their node, as preempted ones do. */
function causeOf(
  details: Context['cancellationDetails'],
): 'cancelled' | 'preempted' | 'superseded' {
  if (details?.workerShutdown === true) return 'preempted';
  // no heartbeat came through in time: the server has given this attempt up
  if (details?.timedOut === true) return 'superseded';
  if (details?.paused === true || details?.reset === true) return 'preempted';
  return 'cancelled';
}
