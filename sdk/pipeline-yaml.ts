import { isAlias, isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { needsOf, validatePlan } from '../dag/validate';
import { AppError } from '../errors/app-error';
import type { Problem } from '../errors/app-error';
import { Plan, PLAN_LIMITS } from '../schemas/plan';
import type { StepSpec } from '../schemas/plan';
import { readStep } from './pipeline-yaml-step';
import { readParams } from './pipeline-yaml-params';
import { checkKeys, isRecord } from './pipeline-yaml-keys';

const TOP_KEYS = ['version', 'name', 'params', 'defaults', 'steps'];

/** Adds a problem at a path inside the file. */
export type Report = (path: readonly (string | number)[], message: string) => void;

/**
 * Compiles a pipeline in YAML 1.2 to its canonical plan. Throws INVALID_PLAN with every problem, each
 * with path, line and column.
 */
export function compileYaml(text: string): Plan {
  if (Buffer.byteLength(text) > PLAN_LIMITS.planBytesMax) {
    throw new AppError('INVALID_PLAN', 'The pipeline file is larger than 2 MiB.');
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { version: '1.2', lineCounter: lines, uniqueKeys: true });
  const problems: Problem[] = document.errors.map((error) => ({
    path: '',
    message: error.message.split('\n')[0] ?? 'is not valid YAML',
    ...(error.linePos === undefined
      ? {}
      : { line: error.linePos[0].line, column: error.linePos[0].col }),
  }));
  if (problems.length > 0) throw invalid(problems);
  const report: Report = (path, message) => {
    problems.push({ path: path.join('.'), message, ...position({ document, lines }, path) });
  };
  if (hasAlias(document)) {
    throw invalid([{ path: '', message: 'uses YAML aliases, which are not taken: write it out.' }]);
  }
  const plan = readPlan(document.toJS({ maxAliasCount: 0 }) as unknown, report);
  if (problems.length > 0 || plan === undefined) throw invalid(problems);
  for (const problem of validatePlan(plan)) {
    report(problem.path.split('.'), problem.message);
  }
  if (problems.length > 0) throw invalid(problems);
  return Plan.parse(plan);
}

function invalid(problems: readonly Problem[]): AppError {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  return new AppError('INVALID_PLAN', `The pipeline has ${count}.`, { problems });
}

function readPlan(root: unknown, report: Report): Plan | undefined {
  if (!isRecord(root)) {
    report([], 'must be a mapping with version, name and steps.');
    return undefined;
  }
  checkKeys(root, { path: [], known: TOP_KEYS, report });
  if (root['version'] !== 1) report(['version'], 'must be 1.');
  if (typeof root['name'] !== 'string') report(['name'], 'is missing: the name of the pipeline.');
  const steps = root['steps'];
  if (!isRecord(steps)) {
    report(['steps'], 'is missing: a mapping of step names to steps.');
    return undefined;
  }
  const defaults = isRecord(root['defaults']) ? root['defaults'] : {};
  const params = readParams(root['params'], report);
  const read = Object.entries(steps).map(([name, step]) => readStep({ name, step, defaults }, report));
  const whole = read.filter((step): step is StepSpec => step !== undefined);
  return {
    version: 1,
    name: String(root['name']),
    params,
    steps: whole.map((step) => ({ ...step, needs: needsOf(step) })),
  };
}

/** Line and column of the deepest part of a path that exists in the file. */
function position(
  { document, lines }: { document: Document; lines: LineCounter },
  path: readonly (string | number)[],
): { line: number; column: number } | Record<string, never> {
  for (let length = path.length; length > 0; length -= 1) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    const pair = isMap(parent)
      ? parent.items.find((item) => isScalar(item.key) && item.key.value === last)
      : undefined;
    const node = isPair(pair) ? pair.key : isSeq(parent) ? parent.items[Number(last)] : undefined;
    if (isNode(node) && node.range) {
      const { line, col } = lines.linePos(node.range[0]);
      return { line, column: col };
    }
  }
  return {};
}

function hasAlias(document: Document): boolean {
  const walk = (node: unknown): boolean => {
    if (isAlias(node)) return true;
    if (isMap(node)) return node.items.some((pair) => walk(pair.key) || walk(pair.value));
    return isSeq(node) && node.items.some(walk);
  };
  return walk(document.contents);
}
