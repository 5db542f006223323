import type { CompositeSpec, DynamicSpec, Plan, PlanStep, StepSpec } from '../schemas/plan';
import { parseExpression } from './expressions';
import type { ValueType } from './operator-types';
import { suggest } from './suggest';

const HINTS_MAX = 100;

/** What the names inside a step mean: the steps beside it, then those around the step it stands in. */
export interface Names {
  readonly params: Plan['params'];
  readonly steps: ReadonlyMap<string, PlanStep>;
  /** The sub-pipeline that these steps are of, and the names where it stands. */
  readonly around: { readonly step: CompositeSpec; readonly names: Names } | undefined;
  /** Handlers of a run's end may read how it ended: `run.status`, `run.reason`. */
  readonly isHandler: boolean;
  /** What might have been meant by a name that is unknown; for all levels of one plan. */
  readonly hint: (name: string, candidates: () => readonly string[]) => string;
  /** The types of outputs that were found so far; for all levels of one plan. */
  readonly outputTypes: Map<PlanStep, ReadonlyMap<string, ValueType>>;
}
/** Something that was found by its name, and the names where it stands. */
export interface Found<T> {
  readonly step: T;
  readonly names: Names;
}

/** True for a sub-pipeline. */
export function isComposite(step: PlanStep): step is CompositeSpec {
  return 'steps' in step;
}

/** True for a step that becomes a sub-pipeline when the run is under way. */
export function isDynamic(step: PlanStep): step is DynamicSpec {
  return 'pipeline' in step;
}

/** True for a step that runs something itself. */
export function isLeaf(step: PlanStep): step is StepSpec {
  return !isComposite(step) && !isDynamic(step);
}

export function namesOf(plan: Plan): Names {
  const steps = new Map(plan.steps.map((step) => [step.name, step]));
  const outputTypes: Names['outputTypes'] = new Map();
  const { params } = plan;
  return { params, steps, around: undefined, isHandler: false, hint: hints(), outputTypes };
}

/** Hints for the first mistakes only: each looks at every name, and a plan may have thousands. */
function hints(): Names['hint'] {
  let left = HINTS_MAX;
  return (name, candidates) => {
    left -= 1;
    return left < 0 ? '' : suggest(name, candidates());
  };
}

/** The names for the steps of a sub-pipeline that stands among `names`. */
export function namesInside(names: Names, step: CompositeSpec): Names {
  const steps = new Map(step.steps.map((inner) => [inner.name, inner]));
  return { ...names, steps, around: { step, names } };
}

/** The step that a name means here, or undefined. */
export function findStep(names: Names, name: string): Found<PlanStep> | undefined {
  for (let at: Names | undefined = names; at !== undefined; at = at.around?.names) {
    const step = at.steps.get(name);
    if (step !== undefined) return { step, names: at };
  }
  return undefined;
}

/** The names of all steps that can be named here. */
export function stepNames(names: Names): string[] {
  const outer = names.around === undefined ? [] : stepNames(names.around.names);
  return [...new Set([...names.steps.keys(), ...outer])];
}

/** The steps with a foreach whose variables can be read here, from the inside to the outside. */
export function loopsAround({ step, names }: Found<PlanStep>): Found<PlanStep>[] {
  const isInside = names.around?.step === step; // an output of a sub-pipeline reads among its steps
  const loops = step.foreach === undefined || isInside ? [] : [{ step, names }];
  for (let at = names.around; at !== undefined; at = at.names.around) {
    if (at.step.foreach !== undefined) loops.push(at);
  }
  return loops;
}

/** The step whose outputs an expression gives as they are: `steps.<name>.outputs`. */
export function sourceOf(names: Names, text: string | undefined): Found<PlanStep> | undefined {
  try {
    const tree = parseExpression(text ?? '');
    if (tree.kind !== 'path' || tree.parts.length !== 3) return undefined;
    const [root, name, outputs] = tree.parts;
    if (root !== 'steps' || outputs !== 'outputs') return undefined;
    return findStep(names, String(name));
  } catch {
    return undefined; // told where the expression itself is checked
  }
}
