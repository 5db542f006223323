import type { Graph, GraphNode, NodeGroup } from '../schemas/graph';
import type { Heap } from './heap';
import type { ReadyOrder } from './ready-order';

/** One foreach while its items run. */
export class GroupState {
  /** Why no further item starts; undefined as long as items start. */
  stopped: string | undefined;
  private readonly rules: NodeGroup;
  private readonly parked: Heap<GraphNode>; // ready, but the group is full
  private readonly failures = new Map<string, number>(); // how often a reason was given
  private running = 0;

  constructor(rules: NodeGroup, parked: Heap<GraphNode>) {
    this.rules = rules;
    this.parked = parked;
  }

  /** Gives a node that is ready a place; false if there is none: then it waits for one. */
  enter(node: GraphNode): boolean {
    const hasPlace = this.running < this.rules.parallel;
    if (hasPlace) this.running += 1;
    else this.parked.push(node);
    return hasPlace;
  }

  /** Takes a place back; the node that is ready for it, if one waits that has not ended. */
  leave(hasEnded: (key: string) => boolean): GraphNode | undefined {
    this.running -= 1;
    let next = this.parked.pop();
    while (next !== undefined && hasEnded(next.key)) next = this.parked.pop();
    return next;
  }

  /** Counts a failure; true if it is the one after which no item begins any more. */
  fail(reason: string): boolean {
    const { stopAfter = Infinity } = this.rules;
    const count = (this.failures.get(reason) ?? 0) + 1;
    this.failures.set(reason, count);
    if (count < stopAfter || this.stopped !== undefined) return false;
    this.stopped = `${count} items failed alike: ${reason}`;
    return true;
  }
}

/** The rules of every foreach by the key of its join, and how those stand whose items run. */
export class Groups {
  private rules: Graph['groups'];
  private readonly order: ReadyOrder;
  private readonly states = new Map<string, GroupState>();

  constructor(rules: Graph['groups'], order: ReadyOrder) {
    this.rules = rules;
    this.order = order;
  }

  add(rules: Graph['groups']): void {
    this.rules = { ...this.rules, ...rules };
  }

  rulesOf(name: string): NodeGroup | undefined {
    return this.rules[name];
  }

  /** The foreach that a node is an item of. */
  of({ group: name }: GraphNode): GroupState | undefined {
    if (name === undefined) return undefined;
    const known = this.states.get(name);
    const rules = this.rules[name];
    if (known !== undefined || rules === undefined) return known;
    const state = new GroupState(rules, this.order.heap());
    this.states.set(name, state);
    return state;
  }
}
