import { bestOf, outputsOf } from '../dag/builtins';
import { ExpressionError } from '../dag/expressions';
import { resolveInputs, scopeFor } from '../dag/scope';
import { skippedBy } from '../dag/joins';
import { inOrder } from '../dag/placed-graph';
import { DYNAMIC, outermost, rowOf, templatesOf, type Template } from '../dag/templates';
import { found, isAppError } from '../errors/app-error';
import type { GraphNode, ScopeStep } from '../schemas/graph';
import type { ResumedStep, StartPipelineRun } from '../schemas/pipeline-runs';
import type { Outputs, Plan, StepSpec } from '../schemas/plan';
import type { StepContent } from '../storage/postgres/step-content';
import { digestOfFiles } from './code-files';
import { contentOf, type Content } from './content-keys';
import { expandNode, judge, type DecisionDeps } from './decisions';
import { readFragment } from './fragments';
import { preparePlan, type PreparedPlan } from './plans';
import { explainMiss, findResult, whyNotReused, type WantedResult } from './results';
import { isBuiltin, RERUN } from './reuse';
import { renderWith } from './step-scope';

/** A run that might be started. */
export interface PlannedRun {
  readonly projectId: string;
  readonly prepared: PreparedPlan;
  readonly codeDigest: string | null;
  readonly resumed?: Resumed;
}
/** The run whose results it would take. */
export interface Resumed {
  readonly runId: string;
  /** The steps of the run before, in the order of its graph. */
  readonly before: readonly StepContent[];
  /** The steps of the plan that run in any case. */
  readonly rerun: readonly string[];
}
/** What would become of a node; without `outputs`, what it leaves behind is not known before. */
interface Forecast extends Omit<ResumedStep, 'key'> {
  readonly outputs?: Outputs | null; // null: none, for it is skipped
}
type Scope = ReturnType<typeof scopeFor>;

/** What would become of each step of a run, as far as that is known before. Starts nothing. */
export async function forecastSteps(
  deps: DecisionDeps,
  planned: PlannedRun,
): Promise<ResumedStep[]> {
  const forecaster = new Forecaster(deps, planned);
  const { nodes } = planned.prepared.graph;
  const byKey = new Map<string, ResumedStep[]>();
  for (const node of inOrder(nodes)) byKey.set(node.key, await forecaster.forecast(node));
  return nodes.flatMap(({ key }) => byKey.get(key) ?? []);
}

/** The same for a run that is not begun from another one: plan and params are checked first. */
export async function forecastPipelineRun(
  deps: DecisionDeps,
  { projectId, start }: { readonly projectId: string; readonly start: StartPipelineRun },
): Promise<ResumedStep[]> {
  const prepared = preparePlan(start);
  return forecastSteps(deps, { projectId, prepared, codeDigest: start.codeDigest ?? null });
}

class Forecaster {
  private readonly deps: DecisionDeps;
  private readonly planned: PlannedRun;
  private plan: Plan; // with what has been written, as far as that is known
  private templates: readonly Template[];
  private readonly results = new Map<string, ScopeStep[]>(); // by the name in the row
  private readonly unknown = new Set<string>(); // names of which not all is known
  private readonly skipped = new Set<string>(); // keys

  constructor(deps: DecisionDeps, planned: PlannedRun) {
    this.deps = deps;
    this.planned = planned;
    this.plan = planned.prepared.plan;
    this.templates = templatesOf(this.plan).list;
  }

  /** What becomes of a node, or of its items; those it needs were asked for before. */
  async forecast(node: GraphNode): Promise<ResumedStep[]> {
    const { key, needs } = node;
    if (node.kind === 'join') {
      if (needs.every((need) => this.skipped.has(need))) this.skipped.add(key);
      return [];
    }
    const spec = this.specOf(node);
    const unknown = spec.needs.find((need) => this.unknown.has(need));
    if (unknown !== undefined) {
      this.unknown.add(spec.name);
      const reason = `depends on what ${unknown} gives`;
      return [{ key, ...(this.rerun(spec) ?? { outcome: 'unknown', reason }) }];
    }
    if (spec.uses === DYNAMIC) return this.forecastFragment(node, spec);
    if (node.kind === 'expand') return this.forecastItems(node, spec);
    const { outcome, reason, outputs } = await this.forecastNode(spec, node);
    if (outcome === 'skip') this.skipped.add(key);
    if (outputs === undefined) this.unknown.add(spec.name);
    else {
      const result = {
        step: spec.name,
        isForeach: spec.foreach !== undefined,
        item: node.item,
        outputs,
      };
      this.results.set(spec.name, [...(this.results.get(spec.name) ?? []), result]);
    }
    return [{ key, outcome, reason }];
  }

  private async forecastItems(node: GraphNode, spec: StepSpec): Promise<ResumedStep[]> {
    const { plan } = this;
    const items = expandNode({ plan, node, item: node.item }, this.scope(spec, node));
    if ('verdict' in items) {
      this.unknown.add(spec.name);
      const reason = 'reason' in items ? items.reason : 'its list is not known';
      return [{ key: node.key, outcome: 'run', reason }];
    }
    const steps: ResumedStep[] = [];
    for (const item of inOrder(items.nodes)) steps.push(...(await this.forecast(item)));
    return steps;
  }

  /** What was written for a step before stands if the step that wrote it is not to run again. */
  private async forecastFragment(node: GraphNode, spec: StepSpec): Promise<ResumedStep[]> {
    const { key } = node;
    const scope = this.scope(spec, node);
    const known = this.whetherSkipped(node, spec, scope);
    if (known?.outcome === 'skip') {
      this.skipped.add(key);
      this.results.set(spec.name, []);
    } else this.unknown.add(spec.name); // until what gives its outputs is known
    if (known !== undefined) return [{ key, outcome: known.outcome, reason: known.reason }];
    const { projectId } = this.planned;
    const { plan } = this;
    const asked = { projectId, plan, node, step: { spec }, scope };
    const fragment = await readFragment(this.deps.readPipeline, asked);
    if ('problem' in fragment) return [{ key, outcome: 'run', reason: fragment.problem }];
    this.plan = fragment.plan;
    this.templates = templatesOf(this.plan).list;
    this.unknown.delete(spec.name);
    return this.forecastItems(node, spec);
  }

  private specOf({ key, settings }: GraphNode): StepSpec {
    return rowOf(found(this.templates[settings], 'step', key), key);
  }

  private earlier(spec: StepSpec): ScopeStep[] {
    return spec.needs.flatMap((need) => this.results.get(need) ?? []);
  }

  private scope(spec: StepSpec, { item }: GraphNode): Scope {
    return scopeFor(this.planned.prepared.params, item, this.earlier(spec));
  }

  private rerun({ name }: StepSpec): Forecast | undefined {
    const isAsked = this.planned.resumed?.rerun.includes(outermost(name)) === true;
    return isAsked ? { outcome: 'run', reason: RERUN } : undefined;
  }

  /** Undefined if it is to run. */
  private whetherSkipped(node: GraphNode, spec: StepSpec, scope: Scope): Forecast | undefined {
    const skipped = skippedBy(node, (key) => this.skipped.has(key));
    if (skipped !== undefined) {
      return { outcome: 'skip', reason: `${skipped} is skipped`, outputs: null };
    }
    const verdict = judge({ spec }, scope);
    if (verdict.verdict === 'run') return undefined;
    const { reason } = verdict;
    if (verdict.verdict === 'fail') return { outcome: 'run', reason };
    return { outcome: 'skip', reason, outputs: null };
  }

  private async forecastNode(spec: StepSpec, node: GraphNode): Promise<Forecast> {
    const scope = this.scope(spec, node);
    const known = this.whetherSkipped(node, spec, scope);
    if (known !== undefined) return known;
    if (isBuiltin({ spec })) return forecastBuiltin(spec, scope);
    return this.rerun(spec) ?? this.lookUp(spec, node, this.earlier(spec));
  }

  private async lookUp(
    spec: StepSpec,
    node: GraphNode,
    earlier: readonly ScopeStep[],
  ): Promise<Forecast> {
    const { projectId, prepared, codeDigest, resumed } = this.planned;
    if (resumed === undefined && spec.cache === undefined) {
      return { outcome: 'run', reason: 'it has no cache' };
    }
    const { key: stepKey, item } = node;
    const run = { codeDigest, params: prepared.params };
    try {
      const rendered = renderWith(run, { spec, item }, earlier);
      const files = await digestOfFiles(this.deps, { projectId, spec, codeDigest });
      const content = contentOf({ spec, item }, { ...rendered, files });
      const found = findBefore(resumed, stepKey, content);
      if (found !== undefined) return found;
      const of = { pipeline: prepared.plan.name, resumedFrom: null };
      const key = { projectId, runId: '', stepKey };
      const wanted = { run: of, key, step: { spec }, content };
      const from = await findResult(this.deps.postgres, wanted);
      if (from !== undefined) return take(from);
      return { outcome: 'run', reason: await this.whyMissed(wanted) };
    } catch (error) {
      if (isAppError(error)) return { outcome: 'run', reason: error.message };
      throw error;
    }
  }

  private whyMissed(wanted: WantedResult): string | Promise<string> {
    const { resumed } = this.planned;
    if (resumed === undefined) return explainMiss(this.deps.postgres, wanted);
    const { runId, before } = resumed;
    const { stepKey } = wanted.key;
    const own = before.find((one) => one.stepKey === stepKey);
    return whyNotReused(own, { runId, stepKey, parts: wanted.content.parts });
  }
}

/** A result of the run before, that of the same step if there are several. */
function findBefore(
  resumed: Resumed | undefined,
  stepKey: string,
  content: Content,
): Forecast | undefined {
  if (resumed === undefined) return undefined;
  const { runId, before } = resumed;
  const same = before.filter(({ key, outputs }) => key === content.key && outputs !== null);
  const from = same.find((one) => one.stepKey === stepKey) ?? same[0];
  return from === undefined ? undefined : take({ runId, ...from });
}

function take(from: {
  readonly runId: string;
  readonly stepKey: string;
  readonly outputs: Outputs | null;
}): Forecast {
  const { runId, stepKey, outputs } = from;
  return { outcome: 'reuse', reason: `same content as run ${runId}, step ${stepKey}`, outputs };
}

/** Built-in steps always run; what the best one is, is known as soon as the items are. */
function forecastBuiltin(spec: StepSpec, scope: Scope): Forecast {
  const run = { outcome: 'run', reason: 'built-in steps always run' } as const;
  if (spec.uses === 'builtin/nothing') return { ...run, outputs: {} };
  const { by, mode = 'max' } = spec.with ?? {};
  try {
    const inputs = resolveInputs(spec, scope);
    if (spec.uses === 'builtin/outputs') return { ...run, outputs: outputsOf(inputs) };
    if (spec.uses !== 'builtin/best') return run;
    if (typeof by !== 'string' || typeof mode !== 'string') return run;
    return { ...run, outputs: bestOf(inputs['runs'], { by, mode }) };
  } catch (error) {
    if (error instanceof ExpressionError || isAppError(error)) return run;
    throw error;
  }
}
