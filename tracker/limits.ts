import { posix } from 'node:path';
import { AppError } from '../errors/app-error';
import type { KeyValue } from '../schemas/experiments';

/** MLflow's limits (mlflow/utils/validation.py, store/tracking/__init__.py); lengths in characters. */
export const TRACKER_LIMITS = {
  keyChars: 250,
  paramValueChars: 6_000, // longer ones are cut, as MLflow does by default
  tagValueChars: 8_000,
  userIdChars: 256, // longer ones are cut
  experimentNameChars: 500,
  experimentTagValueChars: 5_000,
  batchMetrics: 1_000,
  batchParams: 100,
  batchTags: 100,
  batchTotal: 1_000,
} as const;

const CHARACTERS =
  'Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).';
const AS_FILES =
  'Names may be treated as files in certain cases, and must not resolve to other names when treated as such.';

/** What holds a key, as MLflow's messages about its length call it. */
const KEYS = { metric: 'Metric name', param: 'Param key', tag: 'key' } as const;

/**
 * Refuses a key that MLflow refuses too. `path` says where in the request it stands; MLflow calls
 * a metric's key its name there.
 */
export function checkKey(kind: keyof typeof KEYS, key: string, path: string): void {
  const refuse = (why: string): AppError =>
    invalid(`Invalid value ${JSON.stringify(key)} for parameter '${path}' supplied: ${why}`);
  if (!/^[/\p{L}\p{N}_.\- :]*$/u.test(key)) throw refuse(CHARACTERS);
  const file = posix.normalize(key).replace(/(?<=.)\/$/, '');
  if (file !== key || file === '.' || file.startsWith('..') || file.startsWith('/')) {
    throw refuse(`${AS_FILES} This name would resolve to '${file}'`);
  }
  checkLength(KEYS[kind], key, TRACKER_LIMITS.keyChars);
}

/** Refuses a text of more than `most` characters (code points, as Python counts them). */
export function checkLength(what: string, text: string, most: number): void {
  if (cutText(text, most).length === text.length) return;
  throw invalid(`'${what}' exceeds the maximum length of ${most} characters`);
}

/** The first `most` characters (code points) of a text. */
export function cutText(text: string, most: number): string {
  if (text.length <= most) return text; // never fewer code units than characters
  let end = 0;
  for (let count = 0; count < most && end < text.length; count += 1) {
    end += (text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1;
  }
  return text.slice(0, end);
}

/** Params with checked keys and values cut to their limit. */
export function checkParams(params: readonly KeyValue[]): KeyValue[] {
  return params.map(({ key, value }, i) => {
    checkKey('param', key, pathOf(`params[${i}]`, 'key', params.length));
    return { key, value: cutText(value, TRACKER_LIMITS.paramValueChars) };
  });
}

/** Tags with checked keys and values cut to their limit. */
export function checkTags(tags: readonly KeyValue[]): KeyValue[] {
  return tags.map(({ key, value }, i) => {
    checkKey('tag', key, pathOf(`tags[${i}]`, 'key', tags.length));
    return { key, value: cutText(value, TRACKER_LIMITS.tagValueChars) };
  });
}

/** Refuses keys of metrics that MLflow refuses too. */
export function checkMetricKeys(metrics: readonly { readonly key: string }[]): void {
  metrics.forEach(({ key }, i) => {
    checkKey('metric', key, pathOf(`metrics[${i}]`, 'name', metrics.length));
  });
}

/** One entry needs no index to be found. */
function pathOf(entry: string, field: string, count: number): string {
  return count === 1 ? field : `${entry}.${field}`;
}

/** Refuses a batch that is larger than MLflow allows, or names a param twice. */
export function checkBatch(batch: {
  readonly metrics: readonly unknown[];
  readonly params: readonly KeyValue[];
  readonly tags: readonly KeyValue[];
}): void {
  const { metrics, params, tags } = batch;
  checkCount('metrics', metrics.length, TRACKER_LIMITS.batchMetrics);
  checkCount('params', params.length, TRACKER_LIMITS.batchParams);
  checkCount('tags', tags.length, TRACKER_LIMITS.batchTags);
  const total = metrics.length + params.length + tags.length;
  checkCount('metrics, params, and tags', total, TRACKER_LIMITS.batchTotal);
  const seen = new Set<string>();
  for (const { key } of params) {
    if (seen.has(key)) {
      throw invalid(
        `Duplicate parameter keys have been submitted: ['${key}']. Please ensure the request contains only one param value per param key.`,
      );
    }
    seen.add(key);
  }
}

function checkCount(what: string, count: number, most: number): void {
  if (count <= most) return;
  throw invalid(
    `A batch logging request can contain at most ${most} ${what}. Got ${count} ${what}. Please split up ${what} across multiple requests and try again.`,
  );
}

/** Refuses a number of rows outside 1 … `most`. */
export function checkMaxResults(
  given: number | undefined,
  { most, unset }: { most: number; unset: number },
): number {
  const value = given ?? unset;
  if (value >= 1 && value <= most) return value;
  const wanted = value < 1 ? 'a positive integer' : `at most ${most}`;
  throw invalid(
    `Invalid value ${value} for parameter 'max_results' supplied. It must be ${wanted}`,
  );
}

function invalid(message: string): AppError {
  return new AppError('INVALID_ARGUMENT', message);
}
