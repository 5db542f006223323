import { suggest } from '../dag/suggest';
import { ParamSpec } from '../schemas/plan';
import type { Plan } from '../schemas/plan';
import { checkKeys, isRecord } from './pipeline-keys';
import type { Report } from './pipeline-document';

const TYPES = ParamSpec.shape.type.options;

/** `name: value` (the type follows) or `name: {type, default, min, max}`. */
export function readParams(value: unknown, report: Report): Plan['params'] {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) {
    report(['params'], 'must be a mapping of names to values.');
    return {};
  }
  const specs: Plan['params'] = {};
  for (const [name, given] of Object.entries(value)) {
    const spec = isRecord(given) ? given : { type: typeOf(given), default: given };
    const path = ['params', name];
    checkKeys(spec, { path, known: Object.keys(ParamSpec.shape), report });
    const parsed = ParamSpec.safeParse(spec);
    if (parsed.success) specs[name] = parsed.data;
    else report(path, problemOf(spec));
  }
  return specs;
}

function problemOf(spec: Readonly<Record<string, unknown>>): string {
  const type = typeof spec['type'] === 'string' ? spec['type'] : '';
  return (TYPES as readonly string[]).includes(type)
    ? 'must be a value, or {type, default, min, max} with numbers as min and max.'
    : `must be a value, or have one of these types: ${TYPES.join(', ')}.${suggest(type, TYPES)}`;
}

/** The type of a parameter that has only a value. */
export function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'list' : typeof value;
}
