import { printExpression } from '../dag/expression-text';
import { ExpressionError, parseExpression } from '../dag/expressions';
import type { Expression } from '../dag/expressions';
import { given } from '../dag/given';
import type { CompositeSpec, PlanStep, StepSpec } from '../schemas/plan';
import { withDefaults } from './pipeline-defaults';
import type { Defaults } from './pipeline-defaults';
import type { Report } from './pipeline-document';
import { checkKeys, isRecord } from './pipeline-keys';
import { readDynamic, DYNAMIC_KEYS } from './pipeline-dynamic';
import { FOREACH_KEYS, LEAF_KEYS, readLeaf, readOrder, readWith } from './pipeline-step';
import type { PathParts } from './problem-path';
import { formatPath } from './problem-path';
import { isText, StepReader } from './step-reader';

const ORDER_KEYS = ['foreach', ...FOREACH_KEYS, 'after', 'else'];
const STEP_KEYS = [...LEAF_KEYS, 'steps', 'pipeline', ...ORDER_KEYS];
const COMPOSITE_KEYS = ['steps', 'uses', 'with', 'outputs', 'if', ...ORDER_KEYS];

/** The steps of another pipeline file for a sub-pipeline, and its outputs; undefined after a report. */
export type Include = (use: {
  readonly file: string;
  readonly with: StepSpec['with'];
  readonly report: (key: readonly string[], message: string) => void;
}) => Pick<CompositeSpec, 'steps' | 'outputs'> | undefined;

/** What reading steps needs besides the steps. */
export interface Reading {
  readonly report: Report;
  readonly defaults: Defaults;
  readonly include: Include | undefined;
  /** Filled in: where steps and commands stand in the file, if not where they stand in the plan. */
  readonly places: Map<string, { readonly path: PathParts; readonly isWhole: boolean }>;
}
interface At {
  /** In the file, and in the plan. */
  readonly path: PathParts;
  readonly planPath: PathParts;
}

/** A mapping of names to steps, each followed by those of its `else`. */
export function readSteps(value: unknown, at: At, reading: Reading): PlanStep[] {
  if (!isRecord(value)) {
    const rule = 'is missing: a mapping of step names to steps.';
    reading.report(at.path, value === undefined ? rule : 'must be a mapping of names to steps.');
    return [];
  }
  return Object.entries(value).flatMap(([name, step]) => {
    const path = [...at.path, name];
    if (isRecord(step)) return readStep(name, step, { at: { ...at, path }, reading });
    reading.report(path, 'must be a mapping.');
    return [];
  });
}

interface InPlace {
  readonly at: At;
  readonly reading: Reading;
}

function readStep(
  name: string,
  step: Readonly<Record<string, unknown>>,
  { at, reading }: InPlace,
): PlanStep[] {
  const { path } = at;
  const planPath = [...at.planPath, name];
  if (path.length !== planPath.length) {
    reading.places.set(formatPath(planPath), { path, isWhole: false });
  }
  const isComposite = 'steps' in step || (isText(step['uses']) && /\.ya?ml$/.test(step['uses']));
  const isDynamic = 'pipeline' in step;
  const keys = isDynamic ? DYNAMIC_KEYS : isComposite ? COMPOSITE_KEYS : STEP_KEYS;
  const { report } = reading;
  checkKeys(step, { path, known: isDynamic ? STEP_KEYS : keys, report });
  if (isDynamic) refuseBeside(step, { path, report });
  const merged = withDefaults(reading.defaults, step, keys);
  const reader = new StepReader(merged, (key, message) => {
    reading.report([...path, ...key], message);
  });
  if ('run' in step) {
    const place = { path: [...path, 'run'], isWhole: true };
    reading.places.set(formatPath([...planPath, 'argv']), place);
  }
  const inside = { at: { path, planPath }, reading };
  const readPlain = isComposite ? readComposite : readLeaf;
  const own = isDynamic ? readDynamic(name, reader) : readPlain(name, reader, inside);
  return [own, ...readElse(own.if, step['else'], { at: { ...at, path }, reading })];
}

/** What a step that runs a written pipeline cannot do, too. */
function refuseBeside(
  step: Readonly<Record<string, unknown>>,
  { path, report }: { readonly path: PathParts; readonly report: Report },
): void {
  for (const key of STEP_KEYS.filter((other) => !DYNAMIC_KEYS.includes(other) && other in step)) {
    report([...path, key], "cannot stand beside 'pipeline': leave it out.");
  }
}

function readComposite(name: string, reader: StepReader, { at, reading }: InPlace): CompositeSpec {
  const { steps, uses } = reader.step;
  const outputs = reader.texts('outputs');
  const order = readOrder(reader);
  const spec = { name, ...order, ...given({ outputs }) };
  if (steps === undefined && isText(uses)) {
    const { report } = reader;
    return { ...include(uses, { with: readWith(reader), report }, reading), ...spec };
  }
  if (uses !== undefined) reader.report(['uses'], "stands beside 'steps': leave one of them out.");
  if (reader.step['with'] !== undefined) {
    reader.report(['with'], 'is for the params of another file: name params and items directly.');
  }
  const inside = { path: [...at.path, 'steps'], planPath: [...at.planPath, 'steps'] };
  return { ...spec, steps: readSteps(steps, inside, reading) };
}

function include(
  file: string,
  use: Omit<Parameters<Include>[0], 'file'>,
  reading: Reading,
): Pick<CompositeSpec, 'steps' | 'outputs'> {
  if (reading.include !== undefined) return reading.include({ ...use, file }) ?? { steps: [] };
  use.report(['uses'], 'names a pipeline file, which only a pipeline that is a YAML file can use.');
  return { steps: [] };
}

/** The steps that run where a condition is false: each has its negation, and its own `if` besides. */
function readElse(condition: string | undefined, value: unknown, place: InPlace): PlanStep[] {
  if (value === undefined) return [];
  const { at, reading } = place;
  const path = [...at.path, 'else'];
  if (condition === undefined) {
    reading.report(path, "stands beside no 'if': there is nothing that could be false.");
    return [];
  }
  // the steps of an else stand beside the step in the plan
  return readSteps(value, { path, planPath: at.planPath }, reading).map((step) => ({
    ...step,
    if: negated(condition, step.if),
  }));
}

function negated(condition: string, own: string | undefined): string {
  try {
    const not: Expression = { kind: 'unary', op: '!', of: parseExpression(condition) };
    if (own === undefined) return printExpression(not);
    return printExpression({ kind: 'binary', op: '&&', left: not, right: parseExpression(own) });
  } catch (error) {
    if (error instanceof ExpressionError) return own ?? 'true'; // told at its own place
    throw error;
  }
}
