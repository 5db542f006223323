import { AppError, isAppError } from '../../errors/app-error';
import { errorCode } from '../postgres/client';

/** Codes of node that say "no answer". */
const NO_ANSWER = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ETIMEDOUT',
  'EPIPE',
]);

/** The HTTP status that an error of the SDK came with. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  return (error.$metadata as { httpStatusCode?: number }).httpStatusCode;
}

/** Runs a call to S3; its failures come out in our own words, without the store's text. */
export async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw translate(error);
  }
}

function translate(error: unknown): unknown {
  if (isAppError(error) || !(error instanceof Error)) return error;
  const name = error.name;
  const status = statusOf(error);
  const fail = (code: AppError['code'], message: string): AppError =>
    new AppError(code, message, { cause: error });
  if (/BadDigest|InvalidDigest|ContentSHA256Mismatch|IncompleteBody/.test(name)) {
    return fail('CHECKSUM_MISMATCH', 'The object store got other bytes than their digest says.');
  }
  if (/StorageFull|QuotaExceeded|InsufficientStorage/.test(name) || status === 507) {
    return fail('STORAGE_FULL', 'The object store is full.');
  }
  if (name === 'TimeoutError' || NO_ANSWER.has(errorCode(error)) || status === 503) {
    return fail('DEPENDENCY_UNAVAILABLE', 'The object store does not answer.');
  }
  if (status === undefined) return error;
  return fail('STORAGE_FAILED', `The object store refused the request: ${name} (${status}).`);
}
