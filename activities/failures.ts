import { ApplicationFailure } from '@temporalio/common';
import { isAppError } from '../errors/app-error';

/**
 * What an activity throws for an error: the failure's type is our error code, and only codes that
 * may go away by themselves (a database that is down) are tried again. Anything else stays as it is
 * and is retried by the policy of the call.
 */
export function failureOf(error: unknown): unknown {
  if (!isAppError(error)) return error;
  return ApplicationFailure.create({
    message: error.message,
    type: error.code,
    nonRetryable: !error.row.retryable,
  });
}
