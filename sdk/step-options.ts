import { given } from '../dag/given';
import { retryDelays } from '../dag/retry-delays';
import { suggest } from '../dag/suggest';
import { Adopt, FailureClass, HeartbeatSource, PLAN_LIMITS } from '../schemas/plan';
import type { CacheSpec, RetrySpec, StepSpec } from '../schemas/plan';
import { isRecord } from './pipeline-keys';
import { isText, isTextList } from './step-reader';
import type { StepReader } from './step-reader';

const DEFAULTS = {
  pool: 'cpu',
  timeoutSeconds: 86_400, // long enough for a day's training, short enough to end a forgotten one
  retry: { max: 2, on: ['crash', 'oom', 'timeout'] as FailureClass[] },
  heartbeatSeconds: 300,
} as const;
/** Three valid checkpoints are kept: the newest may be broken, the one before may be too. */
const CHECKPOINT = { keep: 3, graceSeconds: 120 };

type Common = Pick<
  StepSpec,
  | 'pool'
  | 'timeoutSeconds'
  | 'totalTimeoutSeconds'
  | 'retry'
  | 'priority'
  | 'env'
  | 'secrets'
  | 'heartbeat'
  | 'cache'
>;

/** What both a step and `defaults` may set; what equals the default is left out of the plan. */
export function readCommon(reader: StepReader): Common {
  const priority = reader.pick(['priority'], isWhole, 'must be a whole number.');
  return {
    pool: readPool(reader),
    timeoutSeconds: reader.duration('timeout') ?? DEFAULTS.timeoutSeconds,
    retry: readRetry(reader),
    ...given({
      totalTimeoutSeconds: reader.duration('total_timeout'),
      priority: unless(priority, 0),
      env: reader.texts('env'),
      secrets: reader.pick(['secrets'], isTextList, 'must be a list of names.'),
      heartbeat: readHeartbeat(reader),
      cache: readCache(reader),
    }),
  };
}

const isWhole = (value: unknown): value is number => Number.isInteger(value);
const isNumber = (value: unknown): value is number => Number.isFinite(value);

function unless<T>(value: T | undefined, fallback: T): T | undefined {
  return value === fallback ? undefined : value;
}

function readPool(reader: StepReader): string {
  const inner = reader.mapping('resources', ['pool'])?.['pool'];
  const { pool } = reader.step;
  if (pool !== undefined && inner !== undefined) {
    reader.report(['resources', 'pool'], "stands beside 'pool': leave one of them out.");
  }
  const chosen = pool ?? inner ?? DEFAULTS.pool;
  if (isText(chosen)) return chosen;
  reader.report(['pool'], 'must be the name of a pool.');
  return DEFAULTS.pool;
}

function readRetry(reader: StepReader): RetrySpec {
  reader.mapping('retry', ['max', 'on', 'delay', 'backoff', 'max_delay']);
  const max = reader.pick(['retry', 'max'], isNatural, 'must be a whole number, 0 or more.');
  const asked = given({
    delaySeconds: reader.duration('retry', 'delay'),
    factor: reader.pick(['retry', 'backoff'], isNumber, 'must be a number, such as 2 or 1.5.'),
    maxDelaySeconds: reader.duration('retry', 'max_delay'),
  });
  const { delaySeconds } = asked;
  const usual = retryDelays({});
  const longest = retryDelays(given({ delaySeconds })).maxDelaySeconds;
  return {
    max: max ?? DEFAULTS.retry.max,
    on: choices(reader, 'retry', { key: 'on', known: FailureClass.options }) ?? DEFAULTS.retry.on,
    ...given({
      delaySeconds: unless(delaySeconds, usual.delaySeconds),
      factor: unless(asked.factor, usual.factor),
      maxDelaySeconds: unless(asked.maxDelaySeconds, longest),
    }),
  };
}
const isNatural = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 0;

/** A list of known words inside a mapping. */
function choices<T extends string>(
  reader: StepReader,
  outer: string,
  { key, known }: { readonly key: string; readonly known: readonly T[] },
): T[] | undefined {
  const value = reader.at([outer, key]);
  const words: readonly string[] = known;
  if (value === undefined) return undefined;
  const list: unknown[] = Array.isArray(value) ? value : [value];
  const wrong = list.find((word) => !isText(word) || !words.includes(word));
  if (Array.isArray(value) && wrong === undefined) return value as T[];
  const hint = suggest(String(wrong), words);
  reader.report([outer, key], `must be a list of: ${words.join(', ')}.${hint}`);
  return undefined;
}

function readHeartbeat(reader: StepReader): StepSpec['heartbeat'] {
  if (reader.mapping('heartbeat', ['timeout', 'from']) === undefined) return undefined;
  const known = HeartbeatSource.options;
  const from = choices(reader, 'heartbeat', { key: 'from', known }) ?? known;
  return {
    timeoutSeconds: reader.duration('heartbeat', 'timeout') ?? DEFAULTS.heartbeatSeconds,
    from: known.filter((source) => from.includes(source)), // a set: in one order
  };
}

const CACHE_RULE = 'must be true, false or a mapping with ttl, key.';
/** An entry of a cache key that is an expression; any other is a glob over files. */
const CACHE_EXPRESSION = /^\s*(params|item|steps)\s*\./;

function readCache(reader: StepReader): CacheSpec | undefined {
  const { cache } = reader.step;
  if (cache === undefined || cache === false) return undefined;
  if (cache === true) return {};
  if (!isRecord(cache)) {
    reader.report(['cache'], CACHE_RULE);
    return undefined;
  }
  reader.mapping('cache', ['ttl', 'key']);
  const rule = 'must be a list of globs and expressions, such as "src/**" and params.lr.';
  const key = reader.pick(['cache', 'key'], isTextList, rule) ?? [];
  const values = key.filter((entry) => CACHE_EXPRESSION.test(entry));
  const files = key.filter((entry) => !CACHE_EXPRESSION.test(entry));
  return given({
    ttlSeconds: reader.duration('cache', 'ttl'),
    files: files.length > 0 ? files : undefined,
    values: values.length > 0 ? values : undefined,
  });
}

/** How many items of a foreach run at once, may fail, and may be there at all. */
export function readForeach(
  reader: StepReader,
): Partial<Pick<StepSpec, 'foreach' | 'parallel' | 'itemsMax' | 'minSuccess' | 'stopAfter'>> {
  const foreach = reader.texts('foreach');
  const share = reader.pick(['min_success'], isNumber, 'must be a number from 0 to 1.');
  return given({
    foreach,
    parallel: reader.count('parallel'),
    itemsMax: unless(reader.count('items_max'), PLAN_LIMITS.foreachItemsMax),
    minSuccess: unless(share, 1),
    stopAfter: reader.count('stop_after'),
  });
}

/** What equals the default, `auto`, is left out of the plan. */
export function readAdopt(reader: StepReader): StepSpec['adopt'] {
  const isAdopt = (value: unknown): value is Adopt | 'auto' =>
    value === 'auto' || Adopt.options.some((one) => one === value);
  const adopt = reader.pick(['adopt'], isAdopt, 'must be auto, new or off.');
  return adopt === 'auto' ? undefined : adopt;
}

export function readMlflow(reader: StepReader): StepSpec['mlflow'] {
  reader.mapping('mlflow', ['inject_run_id']);
  const isTold = (value: unknown): value is boolean => typeof value === 'boolean';
  const told = reader.pick(['mlflow', 'inject_run_id'], isTold, 'must be true or false.');
  return told === true ? { injectRunId: true } : undefined;
}

export function readCheckpoint(reader: StepReader): StepSpec['checkpoint'] {
  if (reader.mapping('checkpoint', ['keep', 'grace']) === undefined) return undefined;
  return {
    keep: reader.count('checkpoint', 'keep') ?? CHECKPOINT.keep,
    graceSeconds: reader.duration('checkpoint', 'grace') ?? CHECKPOINT.graceSeconds,
  };
}
