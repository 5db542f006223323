import { given } from '../dag/given';
import { validatePlan, withNeeds } from '../dag/validate';
import { AppError } from '../errors/app-error';
import type { Problem } from '../errors/app-error';
import { Plan, PLAN_LIMITS } from '../schemas/plan';
import type { Triggers } from '../schemas/triggers';
import { checkDefaults } from './pipeline-defaults';
import { HANDLER_KEYS, readHandlers } from './pipeline-handlers';
import { checkKeys, isRecord } from './pipeline-keys';
import { readParams } from './pipeline-params';
import { readSteps } from './pipeline-steps';
import type { Include, Reading } from './pipeline-steps';
import { readTriggers } from './pipeline-triggers';
import { formatPath, parsePath } from './problem-path';
import type { PathParts } from './problem-path';
import { StepReader } from './step-reader';

const TOP_KEYS = [
  'version',
  'name',
  'on',
  'params',
  'defaults',
  'steps',
  'outputs',
  ...HANDLER_KEYS,
];
/** No pipeline nests its values deeper; without an end a hostile file could exhaust the stack. */
const DEPTH_MAX = 32;

/** What a pipeline file says: what a run of it means, and beside that what starts runs once it is deployed. */
export interface CompiledPipeline {
  readonly plan: Plan;
  readonly triggers: Triggers;
}
/** Adds a problem at a path inside the pipeline. */
export type Report = (path: PathParts, message: string) => void;

/**
 * Reads a pipeline, as YAML or the TypeScript builder gives it, into its canonical plan and its triggers.
 * Every mistake is reported; undefined if there was one. `include` reads the files of sub-pipelines.
 */
export function readDocument(
  root: unknown,
  report: Report,
  include?: Include,
): CompiledPipeline | undefined {
  let wrong = 0;
  const count: Report = (path, message) => {
    wrong += 1;
    report(path, message);
  };
  checkValues(root, [], count);
  if (wrong > 0) return undefined;
  const places: Reading['places'] = new Map();
  const reading = { report: count, include, places };
  const plan = readPlan(root, reading);
  const triggers = readTriggers(isRecord(root) ? root['on'] : undefined, plan?.params ?? {}, count);
  if (wrong > 0 || plan === undefined) return undefined;
  for (const { path, message } of validatePlan(plan)) {
    count(placeOf(parsePath(path), places), message);
  }
  const bytes = wrong > 0 ? 0 : Buffer.byteLength(JSON.stringify(plan));
  if (bytes > PLAN_LIMITS.planBytesMax) {
    const hint = 'repeat steps by foreach, or move texts into files';
    count(['steps'], `make a plan of ${bytes} bytes, above 2 MiB with every default: ${hint}.`);
  }
  return wrong > 0 ? undefined : { plan: Plan.parse(plan), triggers };
}

/** Where in the file stands what has this path in the plan. */
function placeOf(path: PathParts, places: Reading['places']): PathParts {
  for (let length = path.length; length > 1; length -= 1) {
    const place = places.get(formatPath(path.slice(0, length)));
    if (place !== undefined)
      return place.isWhole ? place.path : [...place.path, ...path.slice(length)];
  }
  return path;
}

/** Compiles a pipeline that is at hand as an object; throws INVALID_PLAN with every problem. */
export function compileDocument(root: unknown): CompiledPipeline {
  const problems: Problem[] = [];
  const compiled = readDocument(root, (path, message) => {
    problems.push({ path: formatPath(path), message });
  });
  if (compiled === undefined) throw invalidPlan(problems);
  return compiled;
}

/** INVALID_PLAN whose message names the first problem, with all of them attached. */
export function invalidPlan(problems: readonly Problem[]): AppError {
  const [first] = problems;
  const where = first?.line === undefined ? '' : `line ${first.line}: `;
  const text = first === undefined ? '' : ` ${where}${`${first.path} ${first.message}`.trim()}`;
  const head = problems.length === 1 ? 'one problem' : `${problems.length} problems, the first`;
  return new AppError('INVALID_PLAN', `The pipeline has ${head}:${text}`, { problems });
}

function readPlan(root: unknown, of: Omit<Reading, 'defaults'>): Plan | undefined {
  const { report } = of;
  if (!isRecord(root)) {
    report([], 'must be a mapping with version, name and steps.');
    return undefined;
  }
  checkKeys(root, { path: [], known: TOP_KEYS, report });
  if (root['version'] !== 1) report(['version'], 'must be 1.');
  const { name } = root;
  if (typeof name !== 'string') report(['name'], 'must be a text: the name of the pipeline.');
  const reading = { ...of, defaults: checkDefaults(root['defaults'], report) };
  const params = readParams(root['params'], report);
  const steps = readSteps(root['steps'], { path: ['steps'], planPath: ['steps'] }, reading);
  const top = new StepReader(root, report);
  return {
    version: 1,
    name: typeof name === 'string' ? name : '',
    params,
    steps: steps.map(withNeeds),
    ...given({ outputs: top.texts('outputs') }),
    ...readHandlers(root, reading),
  };
}

/** What no pipeline may hold anywhere: a name that JavaScript treats specially, or endless depth. */
function checkValues(value: unknown, trail: (string | number)[], report: Report): void {
  if (value === null || typeof value !== 'object') return;
  if (trail.length > DEPTH_MAX) {
    report([...trail], `is nested deeper than ${DEPTH_MAX} levels.`);
    return;
  }
  const isList = Array.isArray(value);
  for (const [key, inner] of Object.entries(value)) {
    if (key === '__proto__') report([...trail, key], 'is not a name that can be used.');
    trail.push(isList ? Number(key) : key);
    checkValues(inner, trail, report);
    trail.pop();
  }
}

/** Throws INVALID_PLAN if a pipeline's text is larger than 2 MiB. */
export function checkSize(text: string): void {
  if (Buffer.byteLength(text) > PLAN_LIMITS.planBytesMax) {
    throw new AppError('INVALID_PLAN', 'The pipeline is larger than 2 MiB.');
  }
}
