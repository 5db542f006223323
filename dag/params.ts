import { AppError } from '../errors/app-error';
import type { Problem } from '../errors/app-error';
import type { Params, ParamSpec, Plan } from '../schemas/plan';
import { suggest } from './suggest';

const PARAMS_BYTES_MAX = 64 * 1024; // PLAN_LIMITS.paramsBytesMax; not imported: it comes with zod

/** The values of one run: given ones checked, defaults filled in. INVALID_ARGUMENT lists all mistakes. */
export function resolveParams(plan: Plan, given: Params): Params {
  if (bytesOf(given) > PARAMS_BYTES_MAX) throw refuse([TOO_LARGE]); // too many to name each
  const known = Object.keys(plan.params);
  const problems: Problem[] = Object.keys(given)
    .filter((name) => !known.includes(name))
    .map((name) => ({
      path: `params.${name}`,
      message: `is not a parameter of '${plan.name}'.${suggest(name, known)}`,
    }));
  const resolved: Params = {};
  for (const [name, spec] of Object.entries(plan.params)) {
    const own = Object.hasOwn(given, name) ? given[name] : undefined;
    const value = own ?? spec.default;
    if (value === undefined) {
      problems.push({ path: `params.${name}`, message: 'has no default and must be given.' });
      continue;
    }
    const wrong = checkParam(spec, value);
    if (wrong !== undefined) problems.push({ path: `params.${name}`, message: wrong });
    resolved[name] = value;
  }
  if (bytesOf(resolved) > PARAMS_BYTES_MAX) problems.push(TOO_LARGE);
  if (problems.length === 0) return resolved;
  throw refuse(problems);
}

const TOO_LARGE = { path: 'params', message: 'are larger than 64 KiB; pass a file instead.' };

function bytesOf(params: Params): number {
  return new TextEncoder().encode(JSON.stringify(params)).length;
}

function refuse(problems: readonly Problem[]): AppError {
  const text = problems.map((problem) => `${problem.path} ${problem.message}`).join(' ');
  return new AppError('INVALID_ARGUMENT', text, { problems });
}

/** What is wrong with a value, or undefined. */
export function checkParam(spec: ParamSpec, value: unknown): string | undefined {
  const type = Array.isArray(value) ? 'list' : value === null ? 'null' : typeof value;
  if (type !== spec.type)
    return `must be a ${spec.type}, not ${JSON.stringify(value).slice(0, 100)}.`;
  if (typeof value !== 'number') return undefined;
  if (!Number.isFinite(value)) return 'must be a finite number.';
  if (spec.min !== undefined && value < spec.min) return `must be at least ${spec.min}.`;
  if (spec.max !== undefined && value > spec.max) return `must be at most ${spec.max}.`;
  return undefined;
}
