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
 * A node whose needs failed, or were all skipped, is skipped itself.
 */
export class ReadyQueue {
  private readonly nodes: ReadonlyMap<string, GraphNode>;
  private readonly dependants = new Map<string, string[]>();
  private readonly open = new Map<string, number>(); // key → needs that have not ended
  private readonly ends = new Map<string, NodeEnd>();
  private readonly ready: GraphNode[] = [];
  private readonly running = new Set<string>();

  constructor(graph: Graph) {
    this.nodes = new Map(graph.nodes.map((node) => [node.key, node]));
    for (const node of graph.nodes) {
      this.open.set(node.key, node.needs.length);
      if (node.needs.length === 0) this.ready.push(node);
      for (const need of node.needs) {
        this.dependants.set(need, [...(this.dependants.get(need) ?? []), node.key]);
      }
    }
  }

  /** Takes the nodes that may start now, lowest index first; they count as running from here on. */
  take(): GraphNode[] {
    const taken: GraphNode[] = [];
    for (const node of [...this.ready].sort((a, b) => a.index - b.index)) {
      if (this.running.size >= WINDOW) break;
      if (node.group !== undefined && this.runningOf(node.group.name) >= node.group.parallel)
        continue;
      this.ready.splice(this.ready.indexOf(node), 1);
      this.running.add(node.key);
      taken.push(node);
    }
    return taken;
  }

  /** Records how a node ended; returns the nodes that will never run because of it. */
  settle(key: string, end: NodeEnd): Skipped[] {
    this.running.delete(key);
    this.ends.set(key, end);
    const skipped: Skipped[] = [];
    for (const dependant of this.dependants.get(key) ?? []) {
      const left = (this.open.get(dependant) ?? 0) - 1;
      this.open.set(dependant, left);
      if (left > 0) continue;
      const node = this.nodes.get(dependant);
      if (node === undefined) continue;
      const reason = this.skipReason(node);
      if (reason === undefined) this.ready.push(node);
      else skipped.push({ key: dependant, reason }, ...this.settle(dependant, 'skipped'));
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

  private runningOf(group: string): number {
    return [...this.running].filter((key) => this.nodes.get(key)?.group?.name === group).length;
  }

  /** Failed needs skip a node; skipped needs do when none of its needs has succeeded. */
  private skipReason(node: GraphNode): string | undefined {
    const failed = node.needs.find((key) => this.isBroken(key));
    if (failed !== undefined) return `${failed} did not succeed`;
    const allSkipped = node.needs.every((key) => this.ends.get(key) === 'skipped');
    return allSkipped ? `${node.needs[0] ?? 'its need'} was skipped` : undefined;
  }

  /** True for a need that failed, was cancelled, or was skipped because of such a one. */
  private isBroken(key: string): boolean {
    const end = this.ends.get(key);
    if (end === 'failed' || end === 'cancelled') return true;
    return end === 'skipped' && (this.nodes.get(key)?.needs.some((k) => this.isBroken(k)) ?? false);
  }
}
