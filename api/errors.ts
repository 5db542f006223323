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

/** Any thrown value as an AppError: zod and fastify's own errors are the caller's mistakes. */
export function toAppError(error: unknown): AppError {
  if (isAppError(error)) return error;
  if (error instanceof ZodError) {
    const problems = error.issues.map((issue) => ({
      path: issue.path.map(String).join('.'),
      message: issue.message,
    }));
    const text = problems
      .map((p) => (p.path === '' ? p.message : `${p.path}: ${p.message}`))
      .join('; ');
    return new AppError('INVALID_ARGUMENT', text, { problems });
  }
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  const message = error instanceof Error ? error.message : 'unknown error';
  if (status === 413) return new AppError('TOO_LARGE', `${message} (at most 16 MiB).`);
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new AppError('INVALID_ARGUMENT', message);
  }
  return new AppError('INTERNAL', 'The request failed inside Anneal.', { cause: error });
}

function isMlflowUrl(url: string): boolean {
  return /^\/(ajax-)?api\/[23]\.0\//.test(url);
}

function stackOf(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}
