import { isPortTaken } from '../dev/ports';
import { createHttp } from '../sdk/http';
import { isAppError } from '../errors/app-error';
import { fail, ok, warn, type Check } from './checks';
import { ANNEAL_VERSION } from './version';

export interface ApiToCheck {
  readonly api: string;
  /** A flag or the environment names it, so it must answer. */
  readonly isApiGiven: boolean;
  readonly token: string | undefined;
}
interface Status {
  readonly version: string;
  readonly parts: readonly {
    readonly name: string;
    readonly ok: boolean;
    readonly message: string;
  }[];
}

/** The api gives each of its parts three seconds. */
const STATUS_TIMEOUT_MS = 6_000;
/** A Date header has whole seconds; more than this spoils the order of metrics from two machines. */
const SKEW_MAX_MS = 5_000;
const ADVICE: Readonly<Record<string, string>> = {
  postgres: 'check that Postgres runs and DATABASE_URL is right',
  clickhouse: 'check that ClickHouse runs and CLICKHOUSE_URL is right',
  objects: 'check the bucket, its keys and S3_ENDPOINT, or the disk',
  temporal: 'check that Temporal runs and TEMPORAL_ADDRESS is right',
  workers:
    'make a build current: temporal worker deployment set-current-version ' +
    '--deployment-name NAME --build-id BUILD',
};

/** Whether the api answers, fits this program, takes the token, and reaches its parts. */
export async function checkApi(target: ApiToCheck): Promise<Check[]> {
  const answer = await askStatus(target.api);
  if (answer === undefined) return [await describeSilence(target)];
  const { status, skewMs } = answer;
  if (status === undefined) {
    const advice = 'name the right address with --api or ANNEAL_API';
    return [fail('api', `what answers at ${target.api} is not Anneal's api`, advice)];
  }
  return [
    ok('api', `${target.api} answers`),
    checkVersion(status.version),
    checkClock(skewMs),
    await checkToken(target),
    ...status.parts.map((part) =>
      part.ok
        ? ok(part.name, part.message)
        : fail(part.name, part.message, ADVICE[part.name] ?? 'see the log of the api'),
    ),
  ];
}

interface StatusAnswer {
  /** Undefined if it is no status of ours. */
  readonly status: Status | undefined;
  readonly skewMs: number;
}

async function askStatus(api: string): Promise<StatusAnswer | undefined> {
  try {
    const response = await fetch(`${api.replace(/\/+$/, '')}/api/v1/status`, {
      signal: AbortSignal.timeout(STATUS_TIMEOUT_MS),
    });
    const dateMs = Date.parse(response.headers.get('date') ?? '');
    const body = (await response.json().catch(() => undefined)) as Partial<Status> | undefined;
    return {
      status: Array.isArray(body?.parts) ? (body as Status) : undefined,
      skewMs: Number.isNaN(dateMs) ? 0 : Date.now() - dateMs,
    };
  } catch {
    return undefined;
  }
}

/** Nothing has to run here yet, but what is named must, and a foreign program is in the way. */
async function describeSilence({ api, isApiGiven }: ApiToCheck): Promise<Check> {
  const message = `nothing answers at ${api}`;
  if (isApiGiven) return fail('api', message, 'start it, or correct --api or ANNEAL_API');
  const port = Number(new URL(api).port);
  if (await isPortTaken(port)) {
    const taken = `another program holds port ${port} and does not answer as the api`;
    return fail('api', taken, 'stop it, or use another port: anneal dev --port N');
  }
  return warn('api', message, 'start everything on this machine: anneal dev');
}

function checkVersion(version: string): Check {
  if (version === ANNEAL_VERSION) return ok('version', `anneal ${version}, here and there`);
  const message = `the api has ${version}, this program ${ANNEAL_VERSION}`;
  return warn('version', message, 'use the same version on both sides');
}

function checkClock(skewMs: number): Check {
  if (Math.abs(skewMs) <= SKEW_MAX_MS) return ok('clock', 'agrees with the api');
  const where = skewMs > 0 ? 'ahead of' : 'behind';
  const message = `${Math.round(Math.abs(skewMs) / 1000)} s ${where} the api`;
  return warn('clock', message, 'synchronise the clocks (NTP)');
}

async function checkToken({ api, token }: ApiToCheck): Promise<Check> {
  const http = createHttp({ baseUrl: api, retries: 0, ...(token === undefined ? {} : { token }) });
  try {
    await http.get('/api/v1/pipeline-runs?limit=1');
    return ok('access', token === undefined ? 'open, no token needed' : 'the token is taken');
  } catch (error) {
    const message = error instanceof Error ? error.message : 'it failed';
    const isRefusal = isAppError(error) && [401, 403].includes(error.row.status);
    const advice = 'give a token that the api knows: --token or ANNEAL_TOKEN';
    return fail('access', message, isRefusal ? advice : 'see the log of the api');
  }
}
