import type { Problem } from '../errors/app-error';
import type { StepSpec } from '../schemas/plan';
import { retryDelays } from './retry-delays';

/** Limits of one step; past them a number is a slip of the pen. */
const DAY = 86_400;
const TIMEOUT_SECONDS_MAX = 30 * DAY;
const TOTAL_SECONDS_MAX = 90 * DAY; // some attempts of a month
const GRACE_SECONDS_MAX = 3_600; // no node waits longer for a process that must leave
const DELAY_SECONDS_MAX = DAY;
const FACTOR_MAX = 10;
const RETRIES_MAX = 100;
const CHECKPOINTS_MAX = 100;
const ITEMS_TOP = 10_000; // PLAN_LIMITS.foreachItemsTop
const PRIORITY_MAX = 100;
const TTL_SECONDS_MAX = 3_650 * DAY;
const SECRETS_MAX = 100;
const CACHE_KEYS_MAX = 100;
const ENV_NAME = /^[A-Za-z_]\w*$/;

type Range = readonly [min: number, max: number];
function range(path: string, value: number | undefined, [min, max]: Range): Problem[] {
  if (value === undefined || (value >= min && value <= max)) return [];
  return [{ path, message: `must be from ${min} to ${max}.` }];
}

/** A duration that is longer than nothing. */
function span(path: string, seconds: number | undefined, daysMax: number): Problem[] {
  if (seconds === undefined || (seconds > 0 && seconds <= daysMax * DAY)) return [];
  return [
    {
      path,
      message: `must be longer than 0 and at most ${daysMax === 1 ? 'one day' : `${daysMax} days`}.`,
    },
  ];
}

/** What is wrong with a step's foreach rules: each means something only beside foreach. */
export function validateForeach(
  step: Pick<StepSpec, 'foreach' | 'parallel' | 'itemsMax' | 'minSuccess' | 'stopAfter'>,
): Problem[] {
  const rules = {
    parallel: range('.parallel', step.parallel, [1, ITEMS_TOP]),
    items_max: range('.items_max', step.itemsMax, [1, ITEMS_TOP]),
    min_success: range('.min_success', step.minSuccess, [0, 1]),
    stop_after: range('.stop_after', step.stopAfter, [1, ITEMS_TOP]),
  };
  if (step.foreach !== undefined) return Object.values(rules).flat();
  const given = {
    parallel: step.parallel,
    items_max: step.itemsMax,
    min_success: step.minSuccess,
    stop_after: step.stopAfter,
  };
  return Object.entries(given)
    .filter(([, value]) => value !== undefined)
    .map(([key]) => ({ path: `.${key}`, message: 'means something only beside foreach.' }));
}

/** What is wrong with the numbers, names and lists that a step sets. */
export function validateOptions(step: StepSpec): Problem[] {
  const { retry, checkpoint, heartbeat } = step;
  return [
    ...validateForeach(step),
    ...span('.timeout', step.timeoutSeconds, TIMEOUT_SECONDS_MAX / DAY),
    ...span('.total_timeout', step.totalTimeoutSeconds, TOTAL_SECONDS_MAX / DAY),
    ...span('.deadline', step.deadlineSeconds, TOTAL_SECONDS_MAX / DAY),
    ...range('.priority', step.priority, [-PRIORITY_MAX, PRIORITY_MAX]),
    ...validateRetry(retry),
    ...range('.checkpoint.keep', checkpoint?.keep, [1, CHECKPOINTS_MAX]),
    ...range('.checkpoint.grace', checkpoint?.graceSeconds, [0, GRACE_SECONDS_MAX]),
    ...span('.heartbeat.timeout', heartbeat?.timeoutSeconds, TIMEOUT_SECONDS_MAX / DAY),
    ...(heartbeat?.from.length === 0
      ? [{ path: '.heartbeat.from', message: 'is empty: nothing could show that the step lives.' }]
      : []),
    ...validateEnvironment(step),
    ...validateCache(step),
    ...validateBuiltinOptions(step),
    ...validateTracking(step),
  ];
}

function validateRetry(retry: StepSpec['retry']): Problem[] {
  const { delaySeconds, factor, maxDelaySeconds } = retryDelays(retry);
  const isShort = maxDelaySeconds < delaySeconds;
  return [
    ...range('.retry.max', retry.max, [0, RETRIES_MAX]),
    ...(delaySeconds >= 0 && delaySeconds <= DELAY_SECONDS_MAX
      ? []
      : [{ path: '.retry.delay', message: 'must be at most one day.' }]),
    ...range('.retry.backoff', factor, [1, FACTOR_MAX]),
    ...span('.retry.max_delay', retry.maxDelaySeconds, 1),
    ...(isShort ? [{ path: '.retry.max_delay', message: 'is shorter than the delay.' }] : []),
  ];
}

/** Variables and secrets share one environment: each name once, none of Anneal's own. */
function validateEnvironment({ env = {}, secrets = [] }: StepSpec): Problem[] {
  const problems: Problem[] = [];
  const check = (path: string, name: string): void => {
    if (!ENV_NAME.test(name)) {
      problems.push({ path, message: `'${name}' is no name of an environment variable.` });
    }
    if (name.startsWith('ANNEAL_')) {
      problems.push({ path, message: `'${name}' is set by Anneal itself.` });
    }
  };
  for (const name of Object.keys(env)) check(`.env.${name}`, name);
  const seen = new Set<string>();
  for (const [i, name] of secrets.entries()) {
    const path = `.secrets[${i}]`;
    check(path, name);
    if (seen.has(name)) problems.push({ path, message: `'${name}' is there twice.` });
    if (name in env) problems.push({ path, message: `'${name}' stands in env, too: choose one.` });
    seen.add(name);
  }
  if (secrets.length > SECRETS_MAX) {
    problems.push({ path: '.secrets', message: `are ${secrets.length}; at most ${SECRETS_MAX}.` });
  }
  return problems;
}

function validateCache({ cache }: StepSpec): Problem[] {
  if (cache === undefined) return [];
  const { files = [], values = [] } = cache;
  const path = '.cache.key';
  const outside = files.filter(
    (glob) => /^\s*$|^\/|\\|\$\{\{/.test(glob) || glob.split('/').includes('..'),
  );
  const count = files.length + values.length;
  return [
    ...span('.cache.ttl', cache.ttlSeconds, TTL_SECONDS_MAX / DAY),
    ...outside.map((glob) => ({
      path,
      message: `'${glob}' is no glob inside the project and no expression.`,
    })),
    ...(count > CACHE_KEYS_MAX
      ? [{ path, message: `holds ${count} entries; at most ${CACHE_KEYS_MAX}.` }]
      : []),
  ];
}

/** A step without a run of its own has neither its id nor its metrics. */
function validateTracking({ adopt, mlflow, outputs = {} }: StepSpec): Problem[] {
  if (adopt !== 'off') return [];
  const metrics = Object.entries(outputs).filter(([, output]) => 'metric' in output);
  return [
    ...(mlflow === undefined
      ? []
      : [{ path: '.mlflow.inject_run_id', message: "has no run to name with 'adopt: off'." }]),
    ...metrics.map(([name]) => ({
      path: `.outputs.${name}`,
      message: "is a metric of the step's run, and there is none with 'adopt: off'.",
    })),
  ];
}

/** What concerns a process means nothing beside a built-in. */
function validateBuiltinOptions(step: StepSpec): Problem[] {
  if (step.uses?.startsWith('builtin/') !== true) return [];
  return (['secrets', 'heartbeat', 'cache', 'adopt', 'mlflow'] as const)
    .filter((key) => step[key] !== undefined)
    .map((key) => ({ path: `.${key}`, message: 'means nothing for a built-in step.' }));
}
