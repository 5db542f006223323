import { setTimeout as sleep } from 'node:timers/promises';
import {
  isGrpcServiceError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  type Client,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { AppError } from '../../errors/app-error';
import { ERRORS, type ErrorCode } from '../../errors/codes';

/** A caller waits for this: Temporal answers within milliseconds or is not there. */
export const CALL_TIMEOUT_MS = 5_000;
/** Between two tries of a call; a server that restarts is back within a second or two. */
const AGAIN_MS = 200;
/** gRPC codes that say "not now": unavailable, resource exhausted, aborted. */
const NOT_NOW: readonly number[] = [14, 8, 10];

/** Repeats a call that Temporal cannot take now, until its time is over; errors become ours. */
export async function within<T>(
  client: Client,
  timeoutMs: number,
  call: () => Promise<T>,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await client.connection.withDeadline(deadline, call);
    } catch (error) {
      const code = grpcCode(error);
      const isOver = Date.now() + AGAIN_MS >= deadline;
      if (code === undefined || !NOT_NOW.includes(code) || isOver)
        throw translate(error, timeoutMs);
      await sleep(AGAIN_MS);
    }
  }
}

/** The gRPC status of an error that Temporal or the way to it gave; undefined for others. */
export function grpcCode(error: unknown): number | undefined {
  if (isGrpcServiceError(error)) return error.code;
  return error instanceof Error && isGrpcServiceError(error.cause) ? error.cause.code : undefined;
}

function unavailable(timeoutMs: number, cause?: unknown): AppError {
  const message = `Temporal did not answer within ${timeoutMs / 1000} s.`;
  return new AppError('TEMPORAL_UNAVAILABLE', message, { cause });
}

function translate(error: unknown, timeoutMs: number): unknown {
  if (error instanceof WorkflowUpdateFailedError) return refused(error);
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) {
    const late = `Nobody took the change within ${timeoutMs / 1000} s`;
    const message = `${late}; it may still be made once Temporal and the control worker run.`;
    return new AppError('TEMPORAL_UNAVAILABLE', message, { cause: error });
  }
  return grpcCode(error) === undefined ? error : unavailable(timeoutMs, error);
}

/** A workflow refuses a change with one of our codes; whatever else it fails with is a mistake of ours. */
function refused(error: WorkflowUpdateFailedError): AppError {
  const { cause } = error;
  if (cause instanceof ApplicationFailure && isErrorCode(cause.type)) {
    return new AppError(cause.type, cause.message, { cause: error });
  }
  const why = cause?.message ?? 'it gave no reason';
  return new AppError('INTERNAL', `The workflow failed to take the change: ${why}.`, {
    cause: error,
  });
}

function isErrorCode(type: string | null | undefined): type is ErrorCode {
  return typeof type === 'string' && Object.hasOwn(ERRORS, type);
}
