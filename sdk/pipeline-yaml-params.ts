import { ParamSpec } from '../schemas/plan';
import type { Plan } from '../schemas/plan';
import { checkKeys, isRecord } from './pipeline-yaml-keys';
import type { Report } from './pipeline-yaml';

/** `name: value` (the type follows) or `name: {type, default, min, max}`. */
export function readParams(value: unknown, report: Report): Plan['params'] {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) {
    report(['params'], 'must be a mapping of names to values.');
    return {};
  }
  const specs: Plan['params'] = {};
  for (const [name, given] of Object.entries(value)) {
    const long = isRecord(given);
    if (long) {
      checkKeys(given, { path: ['params', name], known: Object.keys(ParamSpec.shape), report });
    }
    const spec = long ? given : { type: typeOf(given), default: given };
    const parsed = ParamSpec.safeParse(spec);
    if (parsed.success) specs[name] = parsed.data;
    else report(['params', name], 'must be a value, or {type, default, min, max}.');
  }
  return specs;
}

function typeOf(value: unknown): string {
  return Array.isArray(value) ? 'list' : typeof value;
}
