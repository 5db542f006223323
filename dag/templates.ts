import type { NodeSettings } from '../schemas/graph';
import type { CompositeSpec, DynamicSpec, Plan, PlanStep, StepSpec } from '../schemas/plan';
import { findStep, isComposite, isDynamic, namesInside, namesOf } from './names';
import type { Names } from './names';
import { retryDelays } from './retry-delays';
import { needsOf } from './step-expressions';

/** How long a step may go on after SIGTERM unless it says otherwise. */
const GRACE_SECONDS = 120;
/** Ends the key of the node that a sub-pipeline begins with, and of the one that gives its outputs. */
export const BEGIN = '#begin';
export const OUTPUTS = '#outputs';
/** What the row of a dynamic step seems to run. */
export const DYNAMIC = 'builtin/pipeline';

/** What all nodes of one step have in common; its position is the `settings` of these nodes. */
export interface Template {
  /** What their rows hold; a sub-pipeline is begun and ended by built-ins. */
  readonly spec: StepSpec;
  /** `sweep.fit`: the step's name and those of the sub-pipelines it stands in. */
  readonly path: string;
  /** In how many sub-pipelines the step stands. */
  readonly depth: number;
  /** The steps that its expressions read, each with the depth at which it stands. */
  readonly reads: readonly { readonly name: string; readonly depth: number }[];
}

/** A step of the plan with the positions of its templates. */
export interface Planned {
  readonly step: PlanStep;
  readonly settings: number;
  /** Of a sub-pipeline, and of a dynamic step that has become one. */
  readonly inner?: readonly Planned[];
  /** The node that gives its outputs, and the steps beside it that they read. */
  readonly outputs?: { readonly settings: number; readonly needs: readonly string[] };
}

/** All templates of a plan, and its steps with their positions. */
export interface Templates {
  readonly list: readonly Template[];
  readonly steps: readonly Planned[];
}

/**
 * Every step of a plan, those inside others behind them; a plan without any is its own list. What
 * dynamic steps have become stands behind all others, which keep their positions.
 */
export function templatesOf(plan: Plan): Templates {
  const list: Template[] = [];
  const add = (spec: StepSpec, { names, path, depth }: At): number => {
    const reads = spec.needs.flatMap((name) => {
      const found = findStep(names, name);
      return found === undefined ? [] : [{ name, depth: depthOf(found.names) }];
    });
    return list.push({ spec, path, depth, reads }) - 1;
  };
  const later: (() => void)[] = [];
  const visitInside = (step: CompositeSpec, at: At): Pick<Planned, 'inner' | 'outputs'> => {
    const inside = namesInside(at.names, step);
    const inner = visit(step.steps, inside, `${at.path}.`);
    if (step.outputs === undefined) return { inner };
    const spec = outputsOf(step, step.outputs);
    const needs = spec.needs.filter((need) => inside.steps.has(need));
    return { inner, outputs: { settings: add(spec, { ...at, names: inside }), needs } };
  };
  const visit = (steps: readonly PlanStep[], names: Names, prefix: string): Planned[] =>
    steps.map((step) => {
      const at = { names, path: prefix + step.name, depth: depthOf(names) };
      if (isComposite(step))
        return { step, settings: add(beginOf(step), at), ...visitInside(step, at) };
      if (!isDynamic(step)) return { step, settings: add(step, at) };
      const planned = { step, settings: add(waitOf(step), at) };
      const { fragment } = step;
      if (fragment !== undefined)
        later.push(() => Object.assign(planned, visitInside(fragment, at)));
      return planned;
    });
  const steps = visit(plan.steps, namesOf(plan), '');
  for (const visitLater of later) visitLater();
  return { list, steps };
}

interface At {
  readonly names: Names;
  readonly path: string;
  readonly depth: number;
}

function depthOf(names: Names): number {
  return names.around === undefined ? 0 : 1 + depthOf(names.around.names);
}

/** What a sub-pipeline's own nodes are: they cost no process. */
const BUILTIN = { pool: 'cpu', timeoutSeconds: 60, retry: { max: 0, on: [] } };

/** The row of a sub-pipeline: its condition, and its list until that is known. */
function beginOf({ name, foreach, itemsMax, needs, ...step }: CompositeSpec): StepSpec {
  return {
    name,
    ...BUILTIN,
    uses: 'builtin/nothing',
    needs,
    ...(step.if !== undefined && { if: step.if }),
    ...(foreach !== undefined && { foreach }),
    ...(itemsMax !== undefined && { itemsMax }),
  };
}

/** The row of a dynamic step: its condition, and its pipeline until that is known. */
function waitOf({ name, pipeline, needs, ...step }: DynamicSpec): StepSpec {
  const inputs = { pipeline };
  const own = { name, ...BUILTIN, uses: DYNAMIC, inputs, needs };
  return { ...own, ...(step.if !== undefined && { if: step.if }) };
}

/** The row that holds the outputs of a sub-pipeline: what others read under its name. */
function outputsOf({ name, foreach }: CompositeSpec, outputs: Record<string, string>): StepSpec {
  const spec: StepSpec = {
    name,
    ...BUILTIN,
    uses: 'builtin/outputs',
    inputs: outputs,
    needs: [],
    ...(foreach !== undefined && { foreach }),
  };
  return { ...spec, needs: needsOf(spec) };
}

/** What a workflow must know of all nodes of a step. */
export function settingsOf({ spec, path }: Pick<Template, 'spec' | 'path'>): NodeSettings {
  const { totalTimeoutSeconds, deadlineSeconds, retry } = spec;
  const asksForDelays = Object.keys(retry).length > 2; // more than max and on
  return {
    step: path,
    builtin: spec.uses?.startsWith('builtin/') ?? false,
    conditional: spec.if !== undefined || spec.cache !== undefined,
    pool: spec.pool,
    timeoutSeconds: spec.timeoutSeconds,
    ...(totalTimeoutSeconds !== undefined && { totalTimeoutSeconds }),
    graceSeconds: spec.checkpoint?.graceSeconds ?? GRACE_SECONDS,
    retry: { max: retry.max, on: retry.on, ...(asksForDelays && retryDelays(retry)) },
    priority: spec.priority ?? 0,
    ...(deadlineSeconds !== undefined && { deadlineSeconds }),
  };
}

/**
 * What the row of one node holds: the step under the name by which those beside it know it, such as
 * `sweep[0].fit`, and in `needs` the names of the steps that it reads, resolved in the same way.
 */
export function rowOf({ spec, depth, reads }: Template, key: string): StepSpec {
  const words = (key.split('#')[0] ?? '').split('.');
  const under = (of: number, name: string): string => [...words.slice(0, of), name].join('.');
  const needs = reads.map((read) => under(read.depth, read.name));
  if (!key.endsWith(BEGIN)) return { ...spec, name: under(depth, spec.name), needs };
  const once = Object.entries(spec).filter(([of]) => of !== 'foreach' && of !== 'itemsMax');
  return { ...(Object.fromEntries(once) as StepSpec), name: key, needs };
}

/** The step of the plan that a node is of, by the name in its row: `sweep` for `sweep[0].fit`. */
export function outermost(name: string): string {
  return /^[^[.#]*/.exec(name)?.[0] ?? name;
}
