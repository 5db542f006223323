import { ERRORS, type ErrorCode, type ErrorRow } from './codes';

/** One problem inside a request or a plan: where, what, and what to do. */
export interface Problem {
  readonly path: string;
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
}

/** The only error class that rules, storage and routes throw on purpose. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly problems: readonly Problem[];

  /** `message` says what is wrong and why, in one sentence, without secrets. */
  constructor(
    code: ErrorCode,
    message: string,
    extra?: { problems?: readonly Problem[]; cause?: unknown },
  ) {
    super(message, extra?.cause === undefined ? undefined : { cause: extra.cause });
    this.name = 'AppError';
    this.code = code;
    this.problems = extra?.problems ?? [];
  }

  get row(): ErrorRow {
    return ERRORS[this.code];
  }
}

/** True for an `AppError`, also across realms (jest, workflow isolate). */
export function isAppError(error: unknown): error is AppError {
  return (
    error !== null &&
    typeof error === 'object' &&
    'name' in error &&
    error.name === 'AppError' &&
    'code' in error
  );
}

/** Throws `INVALID_ARGUMENT` unless the condition holds. */
export function requireArgument(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AppError('INVALID_ARGUMENT', message);
}

/** The value, or `NOT_FOUND` with the noun and its id. */
export function found<T>(value: T | undefined, noun: string, id: string): T {
  if (value === undefined) throw new AppError('NOT_FOUND', `No ${noun} '${id}' was found.`);
  return value;
}
