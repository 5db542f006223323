import type { Graph, GraphNode } from '../schemas/plan';

/** How a node can end. `cancelled` is set from outside only. */
export type NodeEnd = 'succeeded' | 'failed' | 'skipped' | 'cancelled';
/** A node that ended without running, and why. */
export interface Skipped {
  readonly key: string;
  readonly reason: string;
}

/** Never more steps at once: keeps a workflow's commands and history within Temporal's limits. */
const WINDOW = 200;

/**
 * Which nodes may run now: in-degree counts, order by index. Pure and deterministic.
 * A node is skipped when one of its needs did not succeed, or when all of them were skipped by their
 * conditions. Every node ends once; only `skipped` may still turn into `cancelled`.
 */
export class ReadyQueue {
  private readonly nodes: ReadonlyMap<string, GraphNode>;
  private readonly dependants = new Map<string, GraphNode[]>();
  private readonly open = new Map<string, number>(); // key → needs that have not ended
  private readonly ends = new Map<string, NodeEnd>();
  private readonly broken = new Set<string>(); // did not succeed, or skipped because of such a one
  private readonly running = new Set<string>();
  private ready: GraphNode[] = [];

  constructor(graph: Graph) {
    this.nodes = new Map(graph.nodes.map((node) => [node.key, node]));
    for (const node of graph.nodes) {
      this.open.set(node.key, node.needs.length);
      if (node.needs.length === 0) this.ready.push(node);
      for (const need of node.needs) this.addDependant(need, node);
    }
  }

  /** Takes the nodes that may start now, lowest index first; they count as running from here on. */
  take(): GraphNode[] {
    const taken: GraphNode[] = [];
    const left: GraphNode[] = [];
    const inGroup = new Map<string, number>();
    for (const key of this.running) this.count(inGroup, this.nodes.get(key));
    for (const node of this.ready.sort((a, b) => a.index - b.index)) {
      const { group } = node;
      const isFull = group !== undefined && (inGroup.get(group.name) ?? 0) >= group.parallel;
      if (isFull || this.running.size >= WINDOW) {
        left.push(node);
        continue;
      }
      this.running.add(node.key);
      this.count(inGroup, node);
      taken.push(node);
    }
    this.ready = left;
    return taken;
  }

  /** Records how a node ended; returns the nodes that will never run because of it. */
  settle(key: string, end: NodeEnd): Skipped[] {
    const before = this.ends.get(key);
    if (before !== undefined) {
      if (before === 'skipped' && end === 'cancelled') this.ends.set(key, end);
      return [];
    }
    const skipped: Skipped[] = [];
    this.end(key, end);
    // a work list, not recursion: a chain may be as long as the graph
    const work = [key];
    for (let ended = work.shift(); ended !== undefined; ended = work.shift()) {
      for (const node of this.dependants.get(ended) ?? []) {
        if (!this.hasNothingOpen(node)) continue;
        const reason = this.skipReason(node);
        if (reason === undefined) {
          this.ready.push(node);
          continue;
        }
        if (node.needs.some((need) => this.broken.has(need))) this.broken.add(node.key);
        this.end(node.key, 'skipped');
        skipped.push({ key: node.key, reason });
        work.push(node.key);
      }
    }
    return skipped;
  }

  /** True when nothing runs and nothing can start. */
  get done(): boolean {
    return this.running.size === 0 && this.ready.length === 0;
  }

  /** The keys that failed, in order of the graph. */
  get failed(): string[] {
    return [...this.nodes.keys()].filter((key) => this.ends.get(key) === 'failed');
  }

  /** The keys that have not ended, in order of the graph. */
  get unfinished(): string[] {
    return [...this.nodes.keys()].filter((key) => !this.ends.has(key));
  }

  /** How a node ended, or undefined. */
  endOf(key: string): NodeEnd | undefined {
    return this.ends.get(key);
  }

  private addDependant(need: string, node: GraphNode): void {
    const list = this.dependants.get(need);
    if (list === undefined) this.dependants.set(need, [node]);
    else list.push(node);
  }

  private count(inGroup: Map<string, number>, node: GraphNode | undefined): void {
    const name = node?.group?.name;
    if (name !== undefined) inGroup.set(name, (inGroup.get(name) ?? 0) + 1);
  }

  private end(key: string, end: NodeEnd): void {
    this.running.delete(key);
    this.ready = this.ready.filter((node) => node.key !== key);
    this.ends.set(key, end);
    if (end === 'failed' || end === 'cancelled') this.broken.add(key);
  }

  /** One more need of this node has ended; true if it was the last and the node has not ended yet. */
  private hasNothingOpen(node: GraphNode): boolean {
    const left = (this.open.get(node.key) ?? 0) - 1;
    this.open.set(node.key, left);
    return left === 0 && !this.ends.has(node.key);
  }

  private skipReason(node: GraphNode): string | undefined {
    const broken = node.needs.find((key) => this.broken.has(key));
    if (broken !== undefined) return `${broken} did not succeed`;
    const allSkipped = node.needs.every((key) => this.ends.get(key) === 'skipped');
    return allSkipped ? `${node.needs[0] ?? 'its need'} was skipped` : undefined;
  }
}
