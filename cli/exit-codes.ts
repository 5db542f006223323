import type { ErrorCode } from '../errors/codes';

/** Exit codes of `anneal`; the meaning never changes. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  permission: 4,
  runFailed: 5,
  runCancelled: 6,
  conflict: 7,
  unreachable: 8,
  interrupted: 130,
} as const;

const BY_CODE: Partial<Record<ErrorCode, number>> = {
  INVALID_ARGUMENT: EXIT.usage,
  INVALID_PLAN: EXIT.usage,
  CONFIG_INVALID: EXIT.usage,
  NOT_FOUND: EXIT.notFound,
  UNAUTHENTICATED: EXIT.permission,
  PERMISSION_DENIED: EXIT.permission,
  FORBIDDEN_ORIGIN: EXIT.permission,
  ALREADY_EXISTS: EXIT.conflict,
  CONFLICT: EXIT.conflict,
  INVALID_STATE: EXIT.conflict,
  DEPENDENCY_UNAVAILABLE: EXIT.unreachable,
  TEMPORAL_UNAVAILABLE: EXIT.unreachable,
};

/** The exit code for an error code: 1 unless the table says otherwise. */
export function exitCodeOf(code: ErrorCode): number {
  return BY_CODE[code] ?? EXIT.failed;
}

/** The exit code for how a watched run ended. */
export function exitCodeOfRun(status: string): number {
  if (status === 'succeeded') return EXIT.ok;
  return status === 'cancelled' ? EXIT.runCancelled : EXIT.runFailed;
}
