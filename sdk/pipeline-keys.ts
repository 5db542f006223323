import { suggest } from '../dag/suggest';
import type { Report } from './pipeline-document';

/** Words of the pipeline language that this version does not carry out yet. */
const LATER = new Set([
  'cache', 'secrets', 'on', 'on_success', 'on_failure', 'always', 'heartbeat', 'min_success',
  'mlflow', 'adopt', 'matrix', 'schedule', 'every', 'gpus', 'memory', 'cpus', 'spot', 'nodes',
  'image',
]); // prettier-ignore

/** A place in a pipeline: which keys may stand there, and how to report others. */
interface Place {
  readonly path: readonly (string | number)[];
  readonly known: readonly string[];
  readonly report: Report;
}

/** Reports every key that is not known at this place. */
export function checkKeys(value: Readonly<Record<string, unknown>>, at: Place): void {
  for (const key of Object.keys(value)) {
    if (at.known.includes(key)) continue;
    const message = LATER.has(key)
      ? `'${key}' is not available in this version: leave it out.`
      : `'${key}' is not known here.${suggest(key, at.known)}`;
    at.report([...at.path, key], message);
  }
}

/** True for a mapping. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
