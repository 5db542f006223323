import { suggest } from '../dag/suggest';
import type { Report } from './pipeline-document';
import type { PathParts } from './problem-path';

/** Words of the pipeline language that this version does not carry out yet. */
const LATER = new Set([
  'gpus', 'memory', 'cpus', 'spot', 'nodes', 'image',
]); // prettier-ignore

/** What starts runs of a pipeline. */
const ON_KEYS = new Set(['schedule', 'webhook', 'dataset']);

/** A place in a pipeline: which keys may stand there, and how to report others. */
interface Place {
  readonly path: PathParts;
  readonly known: readonly string[];
  readonly report: Report;
}

/** Reports every key that is not known at this place. */
export function checkKeys(value: Readonly<Record<string, unknown>>, at: Place): void {
  for (const key of Object.keys(value)) {
    if (at.known.includes(key)) continue;
    at.report([...at.path, key], unknownKey(key, at.known));
  }
}

function unknownKey(key: string, known: readonly string[]): string {
  if (LATER.has(key)) return `'${key}' is not available in this version: leave it out.`;
  if (ON_KEYS.has(key)) return `'${key}' belongs under 'on', at the top of the file.`;
  if (key === 'matrix') return `'matrix' is a foreach over several lists: write it as 'foreach'.`;
  return `'${key}' is not known here.${suggest(key, known)}`;
}

/** True for a mapping. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
