/**
 * The table of every failure that Anneal can report: one row per stable code.
 * `fault` says who must act: `user` (the request), `operator` (the installation), `anneal` (a bug).
 * `retryable` says whether the same request may succeed later without a change.
 * docs/errors.md is generated from this table; a test keeps the two equal.
 */
export interface ErrorRow {
  readonly title: string;
  readonly status: number;
  readonly fault: 'user' | 'operator' | 'anneal';
  readonly retryable: boolean;
  readonly advice: string;
}

function row(
  status: number,
  fault: ErrorRow['fault'],
  texts: readonly [title: string, advice: string],
): ErrorRow {
  return {
    title: texts[0],
    status,
    fault,
    advice: texts[1],
    retryable: status >= 500 || status === 429,
  };
}

export const ERRORS = {
  INVALID_ARGUMENT: row(400, 'user', [
    'A field is missing or has a wrong value',
    'Correct the field that the message names and send the request again.',
  ]),
  INVALID_PLAN: row(400, 'user', [
    'The pipeline is not valid',
    'Correct each problem listed, at the path and line it names.',
  ]),
  UNAUTHENTICATED: row(401, 'user', [
    'No valid token',
    'Send a token as "Authorization: Bearer <token>", or as the password of Basic.',
  ]),
  PERMISSION_DENIED: row(403, 'user', [
    'The token may not do this',
    'Use a token that holds the permission that the message names.',
  ]),
  FORBIDDEN_ORIGIN: row(403, 'user', [
    'The request came from a foreign page or host name',
    'Call the api by the address it listens on, from a page it serves.',
  ]),
  NOT_FOUND: row(404, 'user', [
    'There is no such thing',
    'Check the name, id or path; the ls commands list what exists.',
  ]),
  ROUTE_NOT_FOUND: row(404, 'user', [
    'There is no such route',
    'Check the method and the path against the documentation.',
  ]),
  ALREADY_EXISTS: row(409, 'user', [
    'It exists already',
    'Use the existing one or choose another name.',
  ]),
  CONFLICT: row(409, 'user', [
    'Someone else changed it first',
    'Read it again and repeat the change if it is still wanted.',
  ]),
  INVALID_STATE: row(409, 'user', [
    'Its state does not allow this',
    'Bring it into the state that the message names first.',
  ]),
  RUN_PAUSED: row(409, 'user', [
    'The run is paused, so nothing of it begins',
    'Let it go on (anneal run continue RUN); its steps come again by themselves.',
  ]),
  ATTEMPT_SUPERSEDED: row(409, 'user', [
    'A newer attempt of this step has begun',
    'Stop this process: its writes are no longer taken.',
  ]),
  CHECKSUM_MISMATCH: row(400, 'user', [
    'The bytes do not match their digest',
    'Upload again; if it repeats, check the disk and the network on the sender.',
  ]),
  TOO_LARGE: row(413, 'user', [
    'It is larger than the limit',
    'Split it, or make it smaller than the limit that the message names.',
  ]),
  RATE_LIMITED: row(429, 'user', [
    'Too many requests at once',
    'Wait as long as Retry-After says, then send it again.',
  ]),
  STORAGE_FULL: row(507, 'operator', [
    'The disk is full',
    'Free space on the data disk; nothing acknowledged was lost.',
  ]),
  STORAGE_FAILED: row(503, 'operator', [
    'The data disk or database refused a write',
    'Check the disk and the log of the api, then restart it.',
  ]),
  TEMPORAL_UNAVAILABLE: row(503, 'operator', [
    'Temporal does not answer',
    'Start Temporal or check TEMPORAL_ADDRESS, then send it again.',
  ]),
  DEPENDENCY_UNAVAILABLE: row(503, 'operator', [
    'A service that Anneal needs does not answer',
    'Check that the service named in the message runs and can be reached.',
  ]),
  CONFIG_INVALID: row(500, 'operator', [
    'The configuration is not valid',
    'Correct the environment variable that the message names.',
  ]),
  NOT_IMPLEMENTED: row(501, 'user', [
    'This version cannot do that',
    'Use the way that the message names, or leave the feature out.',
  ]),
  STEP_CRASHED: row(500, 'user', [
    'The step ended with a non-zero exit code',
    "Read the step's log: anneal run logs RUN --step STEP.",
  ]),
  STEP_TIMEOUT: row(500, 'user', [
    'The step ran longer than its timeout',
    'Raise the timeout of the step or make it faster.',
  ]),
  STEP_LOST: row(500, 'operator', [
    'The worker that ran the step went away',
    'Nothing to do: the step goes on elsewhere from its newest checkpoint.',
  ]),
  STEP_PREEMPTED: row(500, 'operator', [
    'The step had to leave its node',
    'Nothing to do: the step goes on elsewhere from its newest checkpoint.',
  ]),
  STEP_OUTPUT_MISSING: row(500, 'user', [
    'The step did not write a declared output',
    'Write the output that the message names, or remove it from the pipeline.',
  ]),
  CANCELLED: row(499, 'user', ['It was cancelled', 'Start it again if it is still wanted.']),
  INTERNAL: row(500, 'anneal', [
    'Anneal made a mistake',
    'Report it with the request id; the log of the api has the details.',
  ]),
} as const satisfies Record<string, ErrorRow>;

/** A stable error code: a key of the table above. */
export type ErrorCode = keyof typeof ERRORS;
