import type { AppError } from '../../../errors/app-error';
import type { ErrorCode } from '../../../errors/codes';

/** MLflow's error codes and statuses (mlflow/exceptions.py); clients look at `error_code`. */
const MLFLOW: Partial<Record<ErrorCode, readonly [code: string, status: number]>> = {
  INVALID_ARGUMENT: ['INVALID_PARAMETER_VALUE', 400],
  INVALID_PLAN: ['INVALID_PARAMETER_VALUE', 400],
  CHECKSUM_MISMATCH: ['INVALID_PARAMETER_VALUE', 400],
  TOO_LARGE: ['INVALID_PARAMETER_VALUE', 400],
  UNAUTHENTICATED: ['UNAUTHENTICATED', 401],
  PERMISSION_DENIED: ['PERMISSION_DENIED', 403],
  FORBIDDEN_ORIGIN: ['PERMISSION_DENIED', 403],
  NOT_FOUND: ['RESOURCE_DOES_NOT_EXIST', 404],
  ROUTE_NOT_FOUND: ['ENDPOINT_NOT_FOUND', 404],
  ALREADY_EXISTS: ['RESOURCE_ALREADY_EXISTS', 400],
  CONFLICT: ['RESOURCE_CONFLICT', 409],
  ATTEMPT_SUPERSEDED: ['RESOURCE_CONFLICT', 409],
  RUN_PAUSED: ['RESOURCE_CONFLICT', 409],
  // MLflow answers 500 here, which makes its own client retry for minutes; the state will not change
  INVALID_STATE: ['INVALID_PARAMETER_VALUE', 400],
  CANCELLED: ['CANCELLED', 499],
  RATE_LIMITED: ['REQUEST_LIMIT_EXCEEDED', 429],
  NOT_IMPLEMENTED: ['NOT_IMPLEMENTED', 501],
  STORAGE_FULL: ['TEMPORARILY_UNAVAILABLE', 503],
  STORAGE_FAILED: ['TEMPORARILY_UNAVAILABLE', 503],
  DEPENDENCY_UNAVAILABLE: ['TEMPORARILY_UNAVAILABLE', 503],
  TEMPORAL_UNAVAILABLE: ['TEMPORARILY_UNAVAILABLE', 503],
};

/** The body and status that MLflow's clients expect for one of our errors. */
export function mlflowErrorBody(error: AppError): {
  readonly status: number;
  readonly body: { readonly error_code: string; readonly message: string };
} {
  const [code, status] = MLFLOW[error.code] ?? ['INTERNAL_ERROR', 500];
  // MLflow's answers have no field for advice, and these failures are not in the request
  const { fault, advice } = error.row;
  const message = fault === 'operator' ? `${error.message} ${advice}` : error.message;
  return { status, body: { error_code: code, message } };
}
