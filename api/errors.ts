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
  const error = toAppError(failure.error);
  const { request, reply } = failure;
  if (error.code === 'INTERNAL') {
    log?.({ level: 'error', requestId: request.id, url: request.url, stack: stackOf(error.cause) });
  }
  const row = error.row;
  if (row.status === 401) void reply.header('www-authenticate', 'Basic realm="anneal"');
  if (row.status === 429 || row.status === 503) void reply.header('retry-after', '2');
  if (isMlflowUrl(request.url)) {
    const mlflow = mlflowErrorBody(error);
    return reply.code(mlflow.status).type('application/json').send(mlflow.body);
  }
  return reply
    .code(row.status)
    .type('application/problem+json')
    .send({
      type: `urn:anneal:error:${error.code}`,
      title: row.title,
      status: row.status,
      detail: error.message,
      advice: row.advice,
      code: error.code,
      request_id: request.id,
      errors: error.problems,
    });
}

/** More would not be read, and an answer should not be larger than the request. */
const PROBLEMS_MAX = 20;
const NOT_JSON =
  'The body is not declared as JSON: send the header content-type: application/json.';

/** Any thrown value as an AppError: zod and fastify's own errors are the caller's mistakes. */
export function toAppError(error: unknown): AppError {
  if (isAppError(error)) return error;
  if (error instanceof ZodError) return invalidFields(error);
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  const message = error instanceof Error ? error.message : 'unknown error';
  if (status === 413) return new AppError('TOO_LARGE', `${message} (at most 16 MiB).`);
  if (status === 415) return new AppError('INVALID_ARGUMENT', NOT_JSON);
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new AppError('INVALID_ARGUMENT', `${message}.`);
  }
  return new AppError('INTERNAL', 'The request failed inside Anneal.', { cause: error });
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

function stackOf(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}
