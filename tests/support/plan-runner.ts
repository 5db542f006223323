import { bestOf, outputsOf } from '../../dag/builtins';
import { expandGraph, expandItems } from '../../dag/expand';
import { evaluate, parseExpression } from '../../dag/expressions';
import { resolveParams } from '../../dag/params';
import { ReadyQueue } from '../../dag/ready-queue';
import { resolveInputs, scopeFor } from '../../dag/scope';
import { rowOf, templatesOf } from '../../dag/templates';
import type { GraphNode, NodeEnd } from '../../schemas/graph';
import type { Outputs, Params, Plan, StepSpec } from '../../schemas/plan';

type Scope = Readonly<Record<string, unknown>>;
interface Row {
  readonly spec: StepSpec;
  readonly item: Scope | undefined;
  readonly index: number;
  outputs: Outputs | null;
}
/** What a step that is no built-in does; what it throws makes it fail. */
type Work = (step: {
  readonly key: string;
  readonly spec: StepSpec;
  readonly scope: Scope;
  readonly inputs: Scope;
}) => Outputs;

/**
 * Runs a plan in this process as the workflow and the activities do, with the same parts, one step
 * after the other; rows are found by the name that they have in storage.
 */
export class PlanRunner {
  readonly ends = new Map<string, NodeEnd>();
  readonly rows = new Map<string, Row>();
  /** The keys of what has run, in order; built-ins too. */
  readonly order: string[] = [];
  readonly queue: ReadyQueue;
  private readonly plan: Plan;
  private readonly params: Params;
  private readonly work: Work;

  constructor(plan: Plan, given: Params = {}, work: Work = () => ({})) {
    this.plan = plan;
    this.work = work;
    this.params = resolveParams(plan, given);
    const graph = expandGraph(plan, this.params);
    this.queue = new ReadyQueue(graph);
    this.insert(graph.nodes);
  }

  /** Runs to the end; `choose` picks the next of those that are ready. */
  run(choose: (ready: readonly GraphNode[]) => number = () => 0): this {
    const ready = this.queue.take();
    while (ready.length > 0) {
      const [node] = ready.splice(choose(ready), 1);
      if (node !== undefined) this.step(node);
      ready.push(...this.queue.take());
    }
    return this;
  }

  /** The outputs of a step as an expression sees them, from the outermost level. */
  read(text: string): unknown {
    return evaluate(parseExpression(text), this.scope(this.plan.steps.map(({ name }) => name)));
  }

  private insert(nodes: readonly GraphNode[]): void {
    const { list } = templatesOf(this.plan);
    for (const { key, kind, settings, item, index } of nodes) {
      const template = list[settings];
      if (kind === 'join' || template === undefined) continue;
      this.rows.set(key, { spec: rowOf(template, key), item, index, outputs: null });
    }
  }

  private scope(needs: readonly string[], item?: Scope): Scope {
    const rows = [...this.rows.values()].filter(({ spec }) => needs.includes(spec.name));
    const earlier = rows
      .sort((a, b) => a.index - b.index)
      .map(({ spec, item: of, outputs }) => ({
        step: spec.name,
        isForeach: spec.foreach !== undefined,
        item: of,
        outputs,
      }));
    return scopeFor(this.params, item, earlier);
  }

  private step(node: GraphNode): void {
    const { key } = node;
    const row = this.rows.get(key);
    if (row === undefined) throw new Error(`no row of ${key}`);
    const { spec, item } = row;
    const scope = this.scope(spec.needs, item);
    if (node.kind === 'expand') {
      const { nodes } = expandItems(this.plan, node, { scope, item });
      this.insert(nodes);
      this.note(this.queue.expand(key, nodes));
      return;
    }
    if (spec.if !== undefined && evaluate(parseExpression(spec.if), scope) !== true) {
      this.note(this.queue.settle(key, 'skipped'));
      return;
    }
    this.order.push(key);
    try {
      row.outputs = this.outputs(key, spec, scope);
      this.note(this.queue.settle(key, 'succeeded'));
    } catch (error) {
      this.note(this.queue.settle(key, 'failed', String(error)));
    }
  }

  private outputs(key: string, spec: StepSpec, scope: Scope): Outputs {
    const inputs = resolveInputs(spec, scope);
    if (spec.uses === 'builtin/nothing') return {};
    if (spec.uses === 'builtin/outputs') return outputsOf(inputs);
    if (spec.uses !== 'builtin/best') return this.work({ key, spec, scope, inputs });
    return bestOf(inputs['runs'], { by: spec.with?.['by'] as string, mode: 'max' });
  }

  private note(ended: ReturnType<ReadyQueue['settle']>): void {
    for (const { key, end } of ended) this.ends.set(key, end);
  }
}
