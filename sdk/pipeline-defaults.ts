import { checkKeys, isRecord } from './pipeline-keys';
import type { Report } from './pipeline-document';
import { COMMON_KEYS, FOREACH_KEYS } from './pipeline-step';
import { readCommon, readForeach } from './step-options';
import { isText, StepReader } from './step-reader';

const DEFAULT_KEYS = [...COMMON_KEYS, ...FOREACH_KEYS];
/** A step's own entries win inside these; of any other key the whole value does. */
const MERGED_KEYS = ['env', 'retry', 'heartbeat'];
/** What concerns a process: built-in steps have none. */
const PROCESS_KEYS = ['secrets', 'heartbeat', 'cache'];

/** What steps take that do not say it themselves, as the file writes it. */
export type Defaults = Readonly<Record<string, unknown>>;

/** The `defaults` of a pipeline, checked as a step's would be; `{}` if there are none. */
export function checkDefaults(value: unknown, report: Report): Defaults {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) {
    report(['defaults'], `must be a mapping with ${DEFAULT_KEYS.join(', ')}.`);
    return {};
  }
  const wrong: string[] = [];
  const noted: Report = (path, message) => {
    wrong.push(message);
    report(path, message);
  };
  checkKeys(value, { path: ['defaults'], known: DEFAULT_KEYS, report: noted });
  const reader = new StepReader(value, (key, message) => {
    noted(['defaults', ...key], message);
  });
  readCommon(reader);
  readForeach(reader);
  return wrong.length > 0 ? {} : value; // what is wrong is reported once, not at every step
}

/** A step with what `defaults` say and it does not; `keys` are those that it may have. */
export function withDefaults(
  defaults: Defaults,
  step: Defaults,
  keys: readonly string[],
): Defaults {
  const isBuiltin = isText(step['uses']) && step['uses'].startsWith('builtin/');
  const left = [
    ...(isBuiltin ? PROCESS_KEYS : []),
    ...(step['foreach'] === undefined ? FOREACH_KEYS : []),
    ...(isRecord(step['resources']) && 'pool' in step['resources'] ? ['pool'] : []),
  ];
  const below = Object.entries(defaults).filter(
    ([key]) => keys.includes(key) && !left.includes(key),
  );
  const merged: Record<string, unknown> = { ...Object.fromEntries(below), ...step };
  for (const key of MERGED_KEYS) {
    const [lower, upper] = [defaults[key], step[key]];
    if (isRecord(lower) && isRecord(upper)) merged[key] = { ...lower, ...upper };
  }
  return merged;
}
