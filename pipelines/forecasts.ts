import { bestOf, outputsOf } from '../dag/builtins';
import { ExpressionError } from '../dag/expressions';
import { resolveInputs, scopeFor } from '../dag/scope';
import { inOrder } from '../dag/placed-graph';
import { outermost, rowOf, templatesOf, type Template } from '../dag/templates';
import { found, isAppError } from '../errors/app-error';
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
  const { nodes } = prepared.graph;
  const byKey = new Map(inOrder(nodes).map((node) => [node.key, forecaster.forecast(node)]));
  return nodes.flatMap(({ key }) => byKey.get(key) ?? []);
}

class Forecaster {
  private readonly prepared: PreparedPlan;
  private readonly resumed: Resumed;
  private readonly templates: readonly Template[];
  private readonly results = new Map<string, ScopeStep[]>(); // by the name in the row
  private readonly unknown = new Set<string>(); // names of which not all is known
  private readonly skipped = new Set<string>(); // keys

  constructor(prepared: PreparedPlan, resumed: Resumed) {
    this.prepared = prepared;
    this.resumed = resumed;
    this.templates = templatesOf(prepared.plan).list;
  }

  /** What becomes of a node, or of its items; those it needs were asked for before. */
  forecast(node: GraphNode): ResumedStep[] {
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
    if (node.kind === 'expand') return this.forecastItems(node, spec);
    const { outcome, reason, outputs } = this.forecastNode(spec, node);
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

  private forecastItems(node: GraphNode, spec: StepSpec): ResumedStep[] {
    const { plan } = this.prepared;
    const items = expandNode({ plan, node, item: node.item }, this.scope(spec, node));
    if ('verdict' in items) {
      this.unknown.add(spec.name);
      const reason = 'reason' in items ? items.reason : 'its list is not known';
      return [{ key: node.key, outcome: 'run', reason }];
    }
    return inOrder(items.nodes).flatMap((item) => this.forecast(item));
  }

  private specOf({ key, settings }: GraphNode): StepSpec {
    return rowOf(found(this.templates[settings], 'step', key), key);
  }

  private earlier(spec: StepSpec): ScopeStep[] {
    return spec.needs.flatMap((need) => this.results.get(need) ?? []);
  }

  private scope(spec: StepSpec, { item }: GraphNode): Scope {
    return scopeFor(this.prepared.params, item, this.earlier(spec));
  }

  private rerun({ name }: StepSpec): Forecast | undefined {
    const isAsked = this.resumed.rerun.includes(outermost(name));
    return isAsked ? { outcome: 'run', reason: RERUN } : undefined;
  }

  private forecastNode(spec: StepSpec, node: GraphNode): Forecast {
    const { needs } = node;
    if (needs.length > 0 && needs.every((need) => this.skipped.has(need))) {
      return { outcome: 'skip', reason: `${needs[0] ?? ''} is skipped`, outputs: null };
    }
    const scope = this.scope(spec, node);
    const verdict = judge({ spec }, scope);
    if (verdict.verdict === 'skip')
      return { outcome: 'skip', reason: verdict.reason, outputs: null };
    if (verdict.verdict === 'fail') return { outcome: 'run', reason: verdict.reason };
    if (isBuiltin({ spec })) return forecastBuiltin(spec, scope);
    return this.rerun(spec) ?? this.lookUp(spec, node, this.earlier(spec));
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
