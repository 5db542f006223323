import { z } from 'zod';
import { AppError } from '../errors/app-error';
import { readSecrets } from './secrets';

const Port = z.coerce.number().int().min(0).max(65_535);

/** `uid` or `uid:gid`; numbers, since a name may mean another user in another container. */
const User = z
  .string()
  .regex(/^\d{1,9}(:\d{1,9})?$/, 'must be numbers: uid or uid:gid')
  .transform((text) => {
    const [uid = 0, gid = uid] = text.split(':').map(Number);
    return { uid, gid };
  });

/** Host names or addresses with commas between. */
const Hosts = z.string().transform((text) =>
  text
    .split(',')
    .map((host) => host.trim().toLowerCase())
    .filter((host) => host !== ''),
);

/** Every setting of every process, read once; config/secrets.ts says how else secrets may come. */
export const Config = z.object({
  ANNEAL_HOST: z.string().default('127.0.0.1'),
  ANNEAL_PORT: Port.default(7400),
  /** Address under which clients and nodes reach the api; derived from host and port if unset. */
  ANNEAL_API: z.url().optional(),
  ANNEAL_DATA_DIR: z.string().default('.anneal'),
  /** `open` lets the local user in without a token (loopback only); `token` asks everyone. */
  ANNEAL_AUTH: z.enum(['open', 'token']).default('token'),
  ANNEAL_TOKEN: z.string().optional(),
  ANNEAL_NODE_TOKEN: z.string().optional(),
  /** A user token with every permission that the api creates at its start, for the first login. */
  ANNEAL_ADMIN_TOKEN: z.string().optional(),
  /** Signs URLs of the directory object store; at least 32 characters. */
  ANNEAL_SIGNING_KEY: z.string().min(32).optional(),
  ANNEAL_NODE: z.string().max(200).optional(),
  ANNEAL_POOLS: z.string().default('cpu'),
  /** Whom steps run as, for a worker that may change its user (root); its own user if unset. */
  ANNEAL_STEP_USER: User.optional(),
  ANNEAL_SLOTS: z.coerce.number().int().min(1).max(256).default(4),
  /** How much of unpacked code bundles a step worker keeps, in MiB; those used longest ago go first. */
  ANNEAL_CODE_CACHE_MIB: z.coerce.number().int().min(0).max(1_000_000_000).default(5_120),
  /** `stdin`: the secrets come as one JSON object, so that no environment holds them. */
  ANNEAL_SECRETS: z.enum(['environment', 'stdin']).default('environment'),
  /** How often the control worker looks for runs whose workflow was terminated or is gone. */
  ANNEAL_JANITOR_SECONDS: z.coerce.number().int().min(1).max(3600).default(30),
  /** Where the messages of builtin/notify go that name no URL themselves. */
  ANNEAL_NOTIFY_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** Hosts with private addresses that a URL in a pipeline may name, with commas between. */
  ANNEAL_NOTIFY_HOSTS: Hosts.default([]),
  ANNEAL_DURABILITY: z.enum(['fsync', 'interval', 'memory']).default('fsync'),
  ANNEAL_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  DATABASE_URL: z.string().optional(),
  CLICKHOUSE_URL: z.url().optional(),
  TEMPORAL_ADDRESS: z.string().default('127.0.0.1:7233'),
  TEMPORAL_NAMESPACE: z.string().default('default'),
  TEMPORAL_API_KEY: z.string().optional(),
  TEMPORAL_UI_URL: z.url().optional(),
  /** Control workers as builds of one worker deployment of Temporal: a run stays on the build it began on. */
  ANNEAL_WORKER_DEPLOYMENT: z
    .string()
    .regex(/^[\w-]{1,100}$/, "must be 1 to 100 letters, digits, '_' or '-'")
    .optional(),
  /** The code of this control worker; another one for every release. */
  ANNEAL_BUILD_ID: z
    .string()
    .regex(/^[\w.+-]{1,100}$/, "must be 1 to 100 letters, digits, '_', '.', '+' or '-'")
    .optional(),
  S3_BUCKET: z.string().optional(),
  S3_ENDPOINT: z.url().optional(),
  S3_REGION: z.string().default('us-east-1'),
  S3_ACCESS_KEY_ID: z.string().optional(),
  S3_SECRET_ACCESS_KEY: z.string().optional(),
});
export type Config = Readonly<z.infer<typeof Config>>;

/** Parses an environment; CONFIG_INVALID names every wrong variable at once. Empty means unset. */
export function parseConfig(environment: Record<string, string | undefined>): Config {
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = Config.safeParse(given);
  if (parsed.success) return Object.freeze(parsed.data);
  const problems = parsed.error.issues.map((issue) => ({
    path: issue.path.join('.'),
    message: issue.message,
  }));
  const names = problems.map((problem) => `${problem.path}: ${problem.message}`).join('; ');
  throw new AppError('CONFIG_INVALID', `The environment is not valid: ${names}.`, { problems });
}

let loaded: Config | undefined;
/** The configuration of this process, read at the first call and then frozen. */
export function loadConfig(): Config {
  loaded ??= parseConfig(environment());
  return loaded;
}

let secrets: Readonly<Record<string, string | undefined>> | undefined;
/** The settings of this process with its secrets, for handing a chosen part of them to a child. */
export function environment(): Readonly<Record<string, string | undefined>> {
  secrets ??= readSecrets(process.env); // stdin can be read once
  return { ...process.env, ...secrets };
}
