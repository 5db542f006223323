import { AppError } from '../errors/app-error';
import type { KeyValue } from '../schemas/experiments';

/** MLflow's limits (mlflow/utils/validation.py, store/tracking/__init__.py); lengths in characters. */
export const TRACKER_LIMITS = {
  keyChars: 250,
  paramValueChars: 6_000, // longer ones are cut, as MLflow does by default
  tagValueChars: 8_000,
  experimentNameChars: 500,
  experimentTagValueChars: 5_000,
  batchMetrics: 1_000,
  batchParams: 100,
  batchTags: 100,
  batchTotal: 1_000,
} as const;

const NAME_RULE =
  'Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).';

/** Refuses a key of a metric, param or tag that MLflow refuses too. */
export function checkKey(kind: 'metric' | 'parameter' | 'tag', key: string): void {
  if (!/^[/\p{L}\p{N}_.\- :]*$/u.test(key) || key === '') {
    throw invalid(
      `Invalid value ${JSON.stringify(key)} for parameter '${kind} name' supplied: ${NAME_RULE}`,
    );
  }
  const parts = key.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw invalid(
      `Invalid value ${JSON.stringify(key)} for parameter '${kind} name' supplied: Names may be treated as files in certain cases, and must not resolve to other names when treated as such.`,
    );
  }
  if (key.length > TRACKER_LIMITS.keyChars) {
    throw invalid(
      `'${kind} name' exceeds the maximum length of ${TRACKER_LIMITS.keyChars} characters: it has ${key.length}.`,
    );
  }
}

/** Params with checked keys and values cut to their limit. */
export function checkParams(params: readonly KeyValue[]): KeyValue[] {
  return params.map(({ key, value }) => {
    checkKey('parameter', key);
    return { key, value: value.slice(0, TRACKER_LIMITS.paramValueChars) };
  });
}

/** Tags with checked keys and values cut to their limit. */
export function checkTags(tags: readonly KeyValue[]): KeyValue[] {
  return tags.map(({ key, value }) => {
    checkKey('tag', key);
    return { key, value: value.slice(0, TRACKER_LIMITS.tagValueChars) };
  });
}

/** Refuses a batch that is larger than MLflow allows, or names a param twice. */
export function checkBatch(batch: {
  readonly metrics: readonly unknown[];
  readonly params: readonly KeyValue[];
  readonly tags: readonly KeyValue[];
}): void {
  const { metrics, params, tags } = batch;
  const check = (what: string, count: number, most: number): void => {
    if (count > most) {
      throw invalid(
        `A batch logging request can contain at most ${most} ${what}. Got ${count} ${what}.`,
      );
    }
  };
  check('metrics', metrics.length, TRACKER_LIMITS.batchMetrics);
  check('params', params.length, TRACKER_LIMITS.batchParams);
  check('tags', tags.length, TRACKER_LIMITS.batchTags);
  const total = metrics.length + params.length + tags.length;
  check('metrics, params, and tags', total, TRACKER_LIMITS.batchTotal);
  const keys = params.map((param) => param.key);
  const twice = keys.filter((key, i) => keys.indexOf(key) !== i);
  if (twice.length > 0) {
    throw invalid(`Duplicate parameter keys have been submitted: ${JSON.stringify(twice)}`);
  }
}

/** Refuses a number of rows outside 1 … `most`. */
export function checkMaxResults(
  given: number | undefined,
  { most, unset }: { most: number; unset: number },
): number {
  const value = given ?? unset;
  if (value >= 1 && value <= most) return value;
  throw invalid(
    `Invalid value ${value} for parameter 'max_results' supplied: It must be at least 1 and at most ${most}.`,
  );
}

function invalid(message: string): AppError {
  return new AppError('INVALID_ARGUMENT', message);
}
