import { z } from 'zod';
import { AppError } from '../errors/app-error';

/** What of a parameter's JSON Schema a plan can carry. */
interface Schema {
  readonly type?: string;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly [key: string]: unknown;
}
const TYPES: ReadonlyMap<string | undefined, string> = new Map([
  ['string', 'string'],
  ['number', 'number'],
  ['integer', 'number'],
  ['boolean', 'boolean'],
  ['array', 'list'],
]);
/** A plan checks these; what a list holds is checked by the steps that take it. */
const CARRIED = ['type', 'default', 'minimum', 'maximum', 'items', 'description'];

/**
 * The parameters of a zod object as the pipeline language writes them. Strings, numbers, booleans and
 * lists with default, min and max; INVALID_PLAN names every rule that a plan cannot carry.
 */
export function paramsToDocument(params: z.ZodObject): Record<string, unknown> {
  const schema = z.toJSONSchema(params, { io: 'input', unrepresentable: 'any' });
  const problems: { path: string; message: string }[] = [];
  const entries = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const given = property as Schema;
    const isRequired = schema.required?.includes(name) === true;
    for (const message of problemsOf(given, isRequired)) {
      problems.push({ path: `params.${name}`, message });
    }
    return [name, toSpec(given)] as const;
  });
  if (problems.length === 0) return Object.fromEntries(entries);
  const text = problems.map((problem) => `${problem.path} ${problem.message}`).join(' ');
  throw new AppError('INVALID_PLAN', `The pipeline's parameters cannot be kept: ${text}`, {
    problems,
  });
}

function problemsOf(schema: Schema, isRequired: boolean): string[] {
  const known = TYPES.has(schema.type);
  const extra = Object.keys(schema).filter((key) => !CARRIED.includes(key));
  return [
    ...(known ? [] : ['must be a string, number, boolean or array.']),
    ...(known && !isRequired && !('default' in schema)
      ? ['is optional: give it a default instead.']
      : []),
    ...(extra.some((key) => key.startsWith('exclusive'))
      ? ['has an open limit, which is not available in this version: use .min() or .max().']
      : []),
    ...extra
      .filter((key) => known && !key.startsWith('exclusive'))
      .map((key) => `has the rule '${key}', which is not available in this version.`),
  ];
}

function toSpec(schema: Schema): Record<string, unknown> {
  const { minimum, maximum } = schema;
  // zod writes the range of safe integers for .int(): no limit that anyone gave
  const isMin = minimum !== undefined && minimum !== Number.MIN_SAFE_INTEGER;
  const isMax = maximum !== undefined && maximum !== Number.MAX_SAFE_INTEGER;
  return {
    type: TYPES.get(schema.type),
    ...('default' in schema && { default: schema.default }),
    ...(isMin && { min: minimum }),
    ...(isMax && { max: maximum }),
  };
}
