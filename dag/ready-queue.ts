import type { EndedNode, Graph, GraphNode, NodeEnd } from '../schemas/graph';
import { append } from './group-by';
import { Groups } from './group-state';
import type { Heap } from './heap';
import { endOfJoin, skippedBy } from './joins';
import { Members } from './members';
import { ReadyOrder } from './ready-order';

/** Never more steps at once: keeps a workflow's commands and history within Temporal's limits. */
const WINDOW = 200;
/**
 * Of these so many that the control worker runs itself. They end within a moment, and while its places
 * are not all taken Temporal hands them over with the task that starts them, at half the cost.
 */
const BUILTIN_WINDOW = 64;

/**
 * Which nodes may run now: in-degree counts and a heap in the order of `ReadyOrder`. Pure and
 * deterministic. Needs may lie in other segments: `settle` takes their ends, too. A node is blocked
 * when a need did not succeed, skipped when all its needs were skipped. Every node ends once.
 */
export class ReadyQueue {
  private readonly graph: Graph;
  private readonly nodes = new Map<string, GraphNode>();
  private readonly waiters = new Map<string, GraphNode[]>();
  private readonly open = new Map<string, number>(); // key → needs that have not ended
  private readonly ends = new Map<string, NodeEnd>();
  private readonly reasons = new Map<string, string>();
  private readonly groups: Groups;
  private readonly members = new Members();
  private readonly running = new Set<string>();
  private readonly order: ReadyOrder;
  private readonly ready: Heap<GraphNode>;
  private endedHere = 0;
  private runningBuiltins = 0;

  constructor(graph: Graph) {
    this.graph = graph;
    this.order = new ReadyOrder(graph);
    this.groups = new Groups(graph.groups, this.order);
    this.ready = this.order.heap();
    for (const node of graph.nodes) this.add(node);
  }

  /** The nodes that may start now, in order; they count as running from here on. */
  take(): GraphNode[] {
    const taken: GraphNode[] = [];
    const held: GraphNode[] = [];
    this.order.nextTurn();
    while (this.running.size < WINDOW) {
      const node = this.ready.pop();
      if (node === undefined) break;
      // skipped or cancelled while it was ready, or a join since: its list was known before
      if (this.ends.has(node.key) || this.nodes.get(node.key) !== node) continue;
      if (this.isBuiltin(node) && this.runningBuiltins >= BUILTIN_WINDOW) {
        held.push(node);
        continue;
      }
      if (this.groups.of(node)?.enter(node) === false) continue;
      if (this.isBuiltin(node)) this.runningBuiltins += 1;
      this.running.add(node.key);
      taken.push(node);
    }
    for (const node of held) this.ready.push(node);
    return taken;
  }

  /**
   * Records how a node, here or in another segment, ended. Returns all that ended with it: itself,
   * joins that are complete, and what will never run.
   */
  settle(key: string, end: NodeEnd, reason?: string): EndedNode[] {
    if (this.ends.has(key)) return [];
    const ended: EndedNode[] = [];
    // a work list, not recursion: a chain may be as long as the graph
    const work: EndedNode[] = [{ key, end, ...(reason === undefined ? {} : { reason }) }];
    for (let next = work.shift(); next !== undefined; next = work.shift()) {
      if (this.ends.has(next.key)) continue;
      ended.push(next);
      this.record(next);
      for (const waiter of this.waiters.get(next.key) ?? []) {
        if (this.hasNothingOpen(waiter)) work.push(...this.whenOpened(waiter));
      }
      work.push(...this.breakCircuit(next));
    }
    return ended;
  }

  /** A foreach whose list is known now: its nodes run, then it ends as the join of its items. */
  expand(
    key: string,
    nodes: readonly GraphNode[],
    groups: Graph['groups'] = {}, // older histories have none
  ): EndedNode[] {
    const before = this.nodes.get(key);
    if (before === undefined || this.ends.has(key)) return [];
    this.release(before);
    this.groups.add(groups);
    const items = nodes.filter(({ group }) => group === key).map((item) => item.key);
    this.add({ ...before, kind: 'join', needs: items }, items.length);
    for (const node of nodes) this.add(node);
    return items.length === 0 ? this.settle(key, 'succeeded', 'its list is empty') : [];
  }

  /**
   * A node that was taken and did not begin after all is ready again; blocked if its foreach has
   * stopped meanwhile, unless it had begun before. Returns what ended with it.
   */
  putBack(key: string, hasBegun: boolean): EndedNode[] {
    const node = this.nodes.get(key);
    if (node === undefined || !this.running.has(key)) return [];
    const stopped = hasBegun ? undefined : this.groups.of(node)?.stopped;
    if (stopped !== undefined) return this.settle(key, 'blocked', stopped);
    this.release(node);
    this.ready.push(node);
    return [];
  }

  /** True when every node of this graph has ended. */
  get done(): boolean {
    return this.endedHere === this.nodes.size;
  }
  /** How many nodes have ended, and of how many. */
  get progress(): { readonly ended: number; readonly of: number } {
    return { ended: this.endedHere, of: this.nodes.size };
  }
  get runningKeys(): readonly string[] {
    return [...this.running];
  }
  /** The keys of this graph that have not ended, in order of the graph. */
  get unfinished(): string[] {
    return [...this.nodes.keys()].filter((key) => !this.ends.has(key));
  }
  /** What makes a run fail: items of a foreach count through their join alone. */
  get failed(): EndedNode[] {
    const nodes = [...this.nodes.values()].filter(
      (node) => this.ends.get(node.key) === 'failed' && node.group === undefined,
    );
    return nodes.map(({ key }) => ({ key, end: 'failed', reason: this.reasons.get(key) ?? '' }));
  }
  /** All that has ended, also in other segments, in the order of their ends. */
  get ended(): EndedNode[] {
    return [...this.ends.keys()].flatMap((key) => this.endedNode(key) ?? []);
  }
  nodeOf(key: string): GraphNode | undefined {
    return this.nodes.get(key);
  }
  /** How a node ended, or undefined. */
  endOf(key: string): NodeEnd | undefined {
    return this.ends.get(key);
  }
  /** How a node ended, with the reason; undefined if it has not. */
  endedNode(key: string): EndedNode | undefined {
    const end = this.ends.get(key);
    const reason = this.reasons.get(key);
    if (end === undefined) return undefined;
    return { key, end, ...(reason === undefined ? {} : { reason }) };
  }

  /** Ends all that has not ended, without a look at who waits for whom. */
  cancelAll(reason: string): EndedNode[] {
    return this.unfinished.map((key) => {
      const ended: EndedNode = { key, end: 'cancelled', reason };
      this.record(ended);
      return ended;
    });
  }

  /** Lets a failed node, and what was blocked by it alone, run again; the keys that are open again. */
  reopen(key: string): string[] {
    if (this.ends.get(key) !== 'failed') return [];
    const opened = this.blockedBy(key);
    for (const again of opened) {
      this.ends.delete(again);
      this.reasons.delete(again);
      this.endedHere -= 1;
    }
    for (const again of opened) {
      const node = this.nodes.get(again);
      if (node === undefined) continue;
      const left = [...node.needs, ...(node.after ?? [])].filter((need) => !this.ends.has(need));
      this.open.set(again, left.length);
      this.order.anew(again);
      if (left.length === 0) this.whenReady(node);
    }
    return opened;
  }

  /** The node and, transitively, the blocked or failed joins and blocked steps behind it. */
  private blockedBy(key: string): string[] {
    const found = new Set([key]);
    for (const at of found) {
      for (const waiter of this.waiters.get(at) ?? []) {
        const end = this.ends.get(waiter.key);
        if (end === 'blocked' || (end === 'failed' && waiter.kind === 'join')) {
          found.add(waiter.key);
        }
      }
    }
    return [...found];
  }

  private isBuiltin({ settings }: GraphNode): boolean {
    return this.graph.settings[settings]?.builtin ?? false;
  }

  private add(node: GraphNode, openNeeds?: number): void {
    // a foreach that has become a join is a member already
    if (!this.nodes.has(node.key)) this.members.add(node);
    this.nodes.set(node.key, node);
    const needs = [...node.needs, ...(node.after ?? [])];
    this.open.set(node.key, openNeeds ?? needs.length);
    const awaited = openNeeds === undefined ? needs : node.needs;
    for (const need of awaited) append(this.waiters, need, node);
    this.order.added(node);
    if (needs.length === 0 && node.kind !== 'join') this.whenReady(node);
  }

  private record({ key, end, reason }: EndedNode): void {
    this.ends.set(key, end);
    if (reason !== undefined) this.reasons.set(key, reason);
    const node = this.nodes.get(key);
    if (node === undefined) return; // of another segment
    this.endedHere += 1;
    this.release(node);
  }

  /** Gives back the place that a running node held. */
  private release(node: GraphNode): void {
    if (!this.running.delete(node.key)) return;
    if (this.isBuiltin(node)) this.runningBuiltins -= 1;
    const next = this.groups.of(node)?.leave((key) => this.ends.has(key));
    if (next !== undefined) this.ready.push(next);
  }

  /** One more need of this node has ended; true if it was the last and the node has not ended yet. */
  private hasNothingOpen(node: GraphNode): boolean {
    if (this.nodes.get(node.key) !== node) return false; // has become a join since
    const left = (this.open.get(node.key) ?? 0) - 1;
    this.open.set(node.key, left);
    return left === 0 && !this.ends.has(node.key);
  }

  /** What ends at once when the last need of a node has ended; otherwise it is ready. */
  private whenOpened(node: GraphNode): EndedNode[] {
    if (node.kind === 'join') {
      const ends = node.needs.flatMap((key) => this.endedNode(key) ?? []);
      const { minSuccess = 1 } = this.groups.rulesOf(node.key) ?? {};
      return [endOfJoin(node.key, ends, minSuccess)];
    }
    const broken = node.needs.find((key) => isBroken(this.ends.get(key)));
    if (broken !== undefined) {
      return [{ key: node.key, end: 'blocked', reason: `${broken} did not succeed` }];
    }
    const skipped = skippedBy(node, (key) => this.ends.get(key) === 'skipped');
    if (skipped !== undefined) {
      return [{ key: node.key, end: 'skipped', reason: `${skipped} was skipped` }];
    }
    const stopped = this.groups.of(node)?.stopped;
    if (stopped !== undefined) return [{ key: node.key, end: 'blocked', reason: stopped }];
    this.whenReady(node);
    return [];
  }

  private whenReady(node: GraphNode): void {
    this.order.ready(node);
    this.ready.push(node);
  }

  /** After many failures alike, the items of a foreach that have not begun will not begin. */
  private breakCircuit({ key, end }: EndedNode): EndedNode[] {
    const node = this.nodes.get(key);
    const group = node === undefined ? undefined : this.groups.of(node);
    if (end !== 'failed' || node?.group === undefined || group === undefined) return [];
    if (!group.fail(this.causeOf(node))) return [];
    const waiting = this.members.of(node.group).filter((item) => !this.hasBegun(item));
    const inside = waiting.flatMap((item) => [...this.members.inside(item), item]);
    const reason = group.stopped ?? '';
    return inside.map((other) => ({ key: other, end: 'blocked', reason }));
  }

  /** Why a node failed; of a sub-pipeline what its first failed step says, which names no item. */
  private causeOf({ key, kind, needs }: GraphNode): string {
    const failed = needs.find((need) => this.ends.get(need) === 'failed');
    const inner = kind === 'join' && failed !== undefined ? this.nodes.get(failed) : undefined;
    return inner === undefined ? (this.reasons.get(key) ?? '') : this.causeOf(inner);
  }

  /** True for a node that runs or has ended, and for a sub-pipeline with one inside. */
  private hasBegun(key: string): boolean {
    const all = [key, ...this.members.inside(key)];
    return all.some((own) => this.ends.has(own) || this.running.has(own));
  }
}

function isBroken(end: NodeEnd | undefined): boolean {
  return end === 'failed' || end === 'blocked' || end === 'cancelled';
}
