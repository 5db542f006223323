import type { FastifyReply, FastifyRequest } from 'fastify';
import { ZodError } from 'zod';
import { AppError, isAppError } from '../errors/app-error';
import { mlflowErrorBody } from './routes/mlflow/errors';

interface Failure {
  readonly error: unknown;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** One error class inside, two bodies outside: MLflow's on its routes, problem+json elsewhere. */
export function sendError(
  failure: Failure,
  log?: (line: Record<string, unknown>) => void,
): FastifyReply {
  const { request, reply } = failure;
  const error = toAppError(failure.error, request.routeOptions.bodyLimit);
  if (error.code === 'INTERNAL') {
    log?.({ level: 'error', requestId: request.id, url: request.url, stack: stackOf(error.cause) });
  }
  const mlflow = isMlflowUrl(request.url) ? mlflowErrorBody(error) : undefined;
  const status = mlflow?.status ?? error.row.status;
  if (status === 401) void reply.header('www-authenticate', 'Basic realm="anneal"');
  if (status === 429 || status === 503) void reply.header('retry-after', '2');
  const body = mlflow?.body ?? problemBody(error, request.id);
  const type = mlflow === undefined ? 'application/problem+json' : 'application/json';
  return reply.code(status).type(type).send(body);
}

function problemBody(error: AppError, requestId: string): object {
  const { title, status, advice } = error.row;
  return {
    type: `urn:anneal:error:${error.code}`,
    title,
    status,
    detail: error.message,
    advice,
    code: error.code,
    request_id: requestId,
    errors: error.problems,
  };
}

/** More would not be read, and an answer should not be larger than the request. */
const PROBLEMS_MAX = 20;
const NOT_JSON =
  'The body is not declared as JSON: send the header content-type: application/json.';

/** Any thrown value as an AppError: zod and fastify's own errors are the caller's mistakes. */
export function toAppError(error: unknown, bytesMax?: number): AppError {
  if (isAppError(error)) return error;
  if (error instanceof ZodError) return invalidFields(error);
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  const message = error instanceof Error ? error.message : 'unknown error';
  if (status === 413) return tooLarge(message, bytesMax);
  if (status === 415) return new AppError('INVALID_ARGUMENT', NOT_JSON);
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new AppError('INVALID_ARGUMENT', `${message}.`);
  }
  return new AppError('INTERNAL', 'The request failed inside Anneal.', { cause: error });
}

function tooLarge(message: string, bytesMax = 0): AppError {
  const MIB = 1024 * 1024;
  const most = bytesMax < MIB ? `${bytesMax / 1024} KiB` : `${bytesMax / MIB} MiB`;
  return new AppError('TOO_LARGE', `${message} (at most ${most}).`);
}

/** Names each wrong field, the first ones of many. */
function invalidFields(error: ZodError): AppError {
  const problems = error.issues.slice(0, PROBLEMS_MAX).map((issue) => ({
    path: issue.path.map(String).join('.'),
    message: issue.message,
  }));
  const texts = problems.map(
    ({ path, message }) => `${path === '' ? 'request' : path}: ${message}`,
  );
  const more = error.issues.length - problems.length;
  if (more > 0) texts.push(`and ${more} more`);
  return new AppError('INVALID_ARGUMENT', texts.join('; '), { problems });
}

function isMlflowUrl(url: string): boolean {
  return /^\/(ajax-)?api\/[23]\.0\//.test(url);
}

/** Where it failed, and what lay behind that. */
function stackOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const stack = cause.stack ?? cause.message;
  return cause.cause === undefined ? stack : `${stack}\ncaused by ${stackOf(cause.cause)}`;
}
