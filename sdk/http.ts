import { setTimeout as sleep } from 'node:timers/promises';
import { AppError, isAppError } from '../errors/app-error';
import { ERRORS, type ErrorCode } from '../errors/codes';

/** JSON calls to the api. Paths begin with `/`. */
export interface Http {
  readonly baseUrl: string;
  get<T>(path: string): Promise<T>;
  /** The body as it is, whatever its type. */
  getText(path: string): Promise<string>;
  post<T>(path: string, body: unknown): Promise<T>;
  put<T>(path: string, body: unknown): Promise<T>;
  delete(path: string): Promise<void>;
  /** Repeats any work as patiently as a call; the work must tolerate it. */
  repeat<T>(work: () => Promise<T>): Promise<T>;
}
export interface HttpOptions {
  readonly baseUrl: string;
  readonly token?: string;
  /** How often a call that may help to repeat is repeated; 4 unless told. */
  readonly retries?: number;
  /** Repeats until so much time has passed, instead of `retries`; asked again before each. */
  readonly patienceMs?: () => number;
}
/** Longer than any answer of the api takes; a hanging connection must not hold a step for ever. */
const TIMEOUT_MS = 60_000;
/** With full jitter (Brooker, AWS 2015): 0–0.25 s, 0–0.5 s, 0–1 s, 0–2 s, … at most 5 s. */
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MOST_MS = 5_000;
const RETRIES = 4;

/** Opens nothing: each call is a request. Errors of the api come back as AppError. */
export function createHttp(options: HttpOptions): Http {
  const baseUrl = options.baseUrl.replace(/\/+$/, '');
  const { token } = options;
  const repeat = createRepeat(options);
  const call = <T>(method: string, path: string, body?: unknown): Promise<T> =>
    repeat(() => send({ method, url: `${baseUrl}${path}`, body, token }) as never);
  return {
    baseUrl,
    get: (path) => call('GET', path),
    getText: (path) =>
      repeat(() => send({ method: 'GET', url: `${baseUrl}${path}`, token, isText: true }) as never),
    post: (path, body) => call('POST', path, body),
    put: (path, body) => call('PUT', path, body),
    delete: (path) => call('DELETE', path),
    repeat,
  };
}

function createRepeat({ retries = RETRIES, patienceMs }: HttpOptions): Http['repeat'] {
  return async (work) => {
    const startMs = performance.now();
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        const isOver =
          patienceMs === undefined
            ? attempt >= retries
            : performance.now() - startMs >= patienceMs();
        if (isOver || !mayHelpToRepeat(error)) throw error;
        await sleep(Math.random() * Math.min(BACKOFF_FIRST_MS * 2 ** attempt, BACKOFF_MOST_MS));
      }
    }
  };
}

/** Every write of ours tolerates a replay, so only the kind of failure decides. */
function mayHelpToRepeat(error: unknown): boolean {
  if (!isAppError(error)) return false;
  return [
    'DEPENDENCY_UNAVAILABLE',
    'STORAGE_FAILED',
    'RATE_LIMITED',
    'TEMPORAL_UNAVAILABLE',
  ].includes(error.code);
}

interface Request {
  readonly method: string;
  readonly url: string;
  readonly body?: unknown;
  readonly token: string | undefined;
  readonly isText?: boolean; // the answer is no JSON of ours
}

async function send({ method, url, body, token, isText = false }: Request): Promise<unknown> {
  const headers: Record<string, string> = { accept: isText ? '*/*' : 'application/json' };
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const { status, isOk, text } = await reach(url, {
    method,
    headers,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (isOk && isText) return text;
  const answer = parse(text);
  if (isOk && (answer !== undefined || text === '')) return answer;
  throw errorOf({ status, url }, answer);
}

/** Sends a request and reads the answer; DEPENDENCY_UNAVAILABLE if the connection fails. */
export async function reach(
  url: string,
  init: RequestInit,
): Promise<{ readonly status: number; readonly isOk: boolean; readonly text: string }> {
  try {
    const response = await fetch(url, init);
    return { status: response.status, isOk: response.ok, text: await response.text() };
  } catch (cause) {
    const { origin } = new URL(url);
    const message = `Nothing answers at ${origin}. Is 'anneal dev' or the api running?`;
    throw new AppError('DEPENDENCY_UNAVAILABLE', message, { cause });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The api's own error, or what the status alone says (a proxy, another program). */
function errorOf({ status, url }: { status: number; url: string }, answer: unknown): AppError {
  const body = (answer ?? {}) as {
    code?: string;
    detail?: string;
    errors?: AppError['problems'];
    error_code?: string;
    message?: string;
  };
  if (body.code !== undefined && body.code in ERRORS) {
    const problems = body.errors ?? [];
    return new AppError(body.code as ErrorCode, body.detail ?? body.code, { problems });
  }
  const what = `The server at ${new URL(url).origin} answered with status ${status}`;
  const message = body.message ?? `${what} and not as the api does (a proxy, another program?).`;
  if (body.error_code === 'RESOURCE_CONFLICT') return new AppError('ATTEMPT_SUPERSEDED', message);
  if (status === 404) return new AppError('NOT_FOUND', message);
  if (status === 401) return new AppError('UNAUTHENTICATED', message);
  if (status === 429) return new AppError('RATE_LIMITED', message);
  if (status >= 500 || status < 400) return new AppError('DEPENDENCY_UNAVAILABLE', message);
  return new AppError('INVALID_ARGUMENT', message);
}
