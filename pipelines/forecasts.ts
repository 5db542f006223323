import { bestOf } from '../dag/builtins';
import { ExpressionError } from '../dag/expressions';
import { resolveInputs, scopeFor } from '../dag/scope';
import { isAppError } from '../errors/app-error';
import type { GraphNode, ScopeStep } from '../schemas/graph';
import type { ResumedStep } from '../schemas/pipeline-runs';
import type { Outputs, StepSpec } from '../schemas/plan';
import type { StepContent } from '../storage/postgres/step-content';
import { contentOf } from './content-keys';
import { expandNode, judge } from './decisions';
import type { PreparedPlan } from './plans';
import { whyNotReused } from './results';
import { isBuiltin, RERUN } from './reuse';
import { renderWith } from './step-scope';

/** A run that would take the results of the run `runId`. */
export interface Resumed {
  readonly runId: string;
  readonly codeDigest: string | null;
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

/** What would become of each step of a resumed run, as far as that is known before. */
export function forecastSteps(prepared: PreparedPlan, resumed: Resumed): ResumedStep[] {
  const forecaster = new Forecaster(prepared, resumed);
  const order = inOrder(prepared.plan.steps);
  const byStep = new Map(order.map((step) => [step.name, forecaster.forecast(step)]));
  return prepared.plan.steps.flatMap(({ name }) => byStep.get(name) ?? []);
}

/** Each step behind those it needs; the plan was checked, so there is such an order. */
function inOrder(steps: readonly StepSpec[]): StepSpec[] {
  const ordered = new Map<string, StepSpec>();
  let left = steps;
  while (left.length > 0) {
    const ready = left.filter(({ needs }) => needs.every((need) => ordered.has(need)));
    for (const step of ready) ordered.set(step.name, step);
    left = left.filter(({ name }) => !ordered.has(name));
  }
  return [...ordered.values()];
}

class Forecaster {
  private readonly prepared: PreparedPlan;
  private readonly resumed: Resumed;
  private readonly nodes = new Map<number, GraphNode[]>(); // by step of the plan
  private readonly results = new Map<string, ScopeStep[]>(); // of steps that are all known
  private readonly skipped = new Set<string>(); // steps of which nothing would run

  constructor(prepared: PreparedPlan, resumed: Resumed) {
    this.prepared = prepared;
    this.resumed = resumed;
    for (const node of prepared.graph.nodes) {
      if (node.kind === 'join') continue;
      this.nodes.set(node.settings, [...(this.nodes.get(node.settings) ?? []), node]);
    }
  }

  /** What becomes of the nodes of one step; those it needs were asked for before. */
  forecast(spec: StepSpec): ResumedStep[] {
    const nodes = this.nodes.get(this.prepared.plan.steps.indexOf(spec)) ?? [];
    const unknown = spec.needs.find((need) => !this.results.has(need));
    if (unknown !== undefined) {
      const reason = `depends on what ${unknown} gives`;
      return nodes.map(({ key }) => ({
        key,
        ...(this.rerun(spec) ?? { outcome: 'unknown', reason }),
      }));
    }
    const earlier = spec.needs.flatMap((need) => this.results.get(need) ?? []);
    const known = this.itemsOf(spec, nodes, earlier);
    const forecasts = known.map((node) => [node, this.forecastNode(spec, node, earlier)] as const);
    this.keep(spec, forecasts);
    return forecasts.map(([{ key }, { outcome, reason }]) => ({ key, outcome, reason }));
  }

  private keep(spec: StepSpec, forecasts: readonly (readonly [GraphNode, Forecast])[]): void {
    const results = forecasts.flatMap(([{ item }, { outputs }]) => {
      const isForeach = spec.foreach !== undefined;
      return outputs === undefined ? [] : [{ step: spec.name, isForeach, item, outputs }];
    });
    if (results.length === forecasts.length) this.results.set(spec.name, results);
    const isSkipped = forecasts.every(([, { outcome }]) => outcome === 'skip');
    if (isSkipped && forecasts.length > 0) this.skipped.add(spec.name);
  }

  private itemsOf(
    spec: StepSpec,
    nodes: readonly GraphNode[],
    earlier: readonly ScopeStep[],
  ): GraphNode[] {
    return nodes.flatMap((node) => {
      if (node.kind !== 'expand') return node;
      const items = expandNode({ spec }, node, this.scope(node, earlier));
      return 'verdict' in items ? node : items; // the run will say what is wrong with the list
    });
  }

  private scope({ item }: GraphNode, earlier: readonly ScopeStep[]): Scope {
    return scopeFor(this.prepared.params, item, earlier);
  }

  private rerun({ name }: StepSpec): Forecast | undefined {
    return this.resumed.rerun.includes(name) ? { outcome: 'run', reason: RERUN } : undefined;
  }

  private forecastNode(spec: StepSpec, node: GraphNode, earlier: readonly ScopeStep[]): Forecast {
    if (spec.needs.length > 0 && spec.needs.every((need) => this.skipped.has(need))) {
      return { outcome: 'skip', reason: `${spec.needs[0] ?? ''} is skipped`, outputs: null };
    }
    const scope = this.scope(node, earlier);
    const verdict = judge({ spec }, scope);
    if (verdict.verdict === 'skip')
      return { outcome: 'skip', reason: verdict.reason, outputs: null };
    if (verdict.verdict === 'fail') return { outcome: 'run', reason: verdict.reason };
    if (isBuiltin({ spec })) return forecastBuiltin(spec, scope);
    return this.rerun(spec) ?? this.lookUp(spec, node, earlier);
  }

  private lookUp(spec: StepSpec, node: GraphNode, earlier: readonly ScopeStep[]): Forecast {
    const { runId, codeDigest, before } = this.resumed;
    const { key: stepKey, item } = node;
    const run = { codeDigest, params: this.prepared.params };
    try {
      const content = contentOf({ spec, item }, renderWith(run, { spec, item }, earlier));
      const same = before.filter(({ key, outputs }) => key === content.key && outputs !== null);
      const from = same.find((one) => one.stepKey === stepKey) ?? same[0];
      if (from !== undefined) {
        const reason = `same content as run ${runId}, step ${from.stepKey}`;
        return { outcome: 'reuse', reason, outputs: from.outputs };
      }
      const own = before.find((one) => one.stepKey === stepKey);
      const reason = whyNotReused(own, { runId, stepKey, parts: content.parts });
      return { outcome: 'run', reason };
    } catch (error) {
      if (isAppError(error)) return { outcome: 'run', reason: error.message };
      throw error;
    }
  }
}

/** Built-in steps always run; what the best one is, is known as soon as the items are. */
function forecastBuiltin(spec: StepSpec, scope: Scope): Forecast {
  const run = { outcome: 'run', reason: 'built-in steps always run' } as const;
  if (spec.uses === 'builtin/nothing') return { ...run, outputs: {} };
  if (spec.uses !== 'builtin/best') return run;
  const { by, mode = 'max' } = spec.with ?? {};
  if (typeof by !== 'string' || typeof mode !== 'string') return run;
  try {
    const { runs } = resolveInputs(spec, scope);
    return { ...run, outputs: bestOf(runs, { by, mode }) };
  } catch (error) {
    if (error instanceof ExpressionError || isAppError(error)) return run;
    throw error;
  }
}
