import { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { isAppError } from '../errors/app-error';
import type { ExecuteStepInput, ExecuteStepResult } from '../schemas/attempts';
import { executeStep } from './execute-step';
import type { NodeContext, StepSignals } from './execute-step';

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
    // the api refuses this attempt (its code is the class), or this node cannot reach it
    const refused = isAppError(error) && error.row.fault === 'user';
    throw ApplicationFailure.create({
      type: refused ? error.code : 'node-lost',
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
    stop: context.cancelled.catch(() =>
      context.cancellationDetails?.workerShutdown === true ? 'preempted' : 'cancelled',
    ),
  };
}
