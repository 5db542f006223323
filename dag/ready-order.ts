import type { Graph, GraphNode } from '../schemas/graph';
import { Heap } from './heap';

/** Integers, compared from the first to the last; the last one is another for each node. */
export type Rank = readonly [
  step: number, // of higher priority: lower
  dueSeconds: number, // from the start of the run: less slack comes first
  age: number, // the turn in which it became ready
  index: number, // position in the graph: one for all items of a late foreach
  place: number, // items in their order
];

/** True if the first rank is the lower one. */
export function isBefore(a: Rank, b: Rank): boolean {
  for (const [i, own] of a.entries()) {
    const other = b[i] ?? own;
    if (own !== other) return own < other;
  }
  return false;
}

/** Says which of the nodes that are ready starts first: a total order, whatever became ready when. */
export class ReadyOrder {
  private readonly graph: Graph;
  private readonly places = new Map<string, number>();
  private readonly ages = new Map<string, number>();
  private turn = 0;

  constructor(graph: Graph) {
    this.graph = graph;
  }

  /** Nodes that became ready in a turn have the same age. */
  nextTurn(): void {
    this.turn += 1;
  }

  /** A node that is new in the graph comes behind those that were there, all else being equal. */
  added({ key }: GraphNode): void {
    if (!this.places.has(key)) this.places.set(key, this.places.size);
  }

  /** A node that was ready before keeps its age, unless it is to run anew. */
  ready({ key }: GraphNode): void {
    if (!this.ages.has(key)) this.ages.set(key, this.turn);
  }
  anew(key: string): void {
    this.ages.delete(key);
  }

  heap(): Heap<GraphNode> {
    return new Heap((a, b) => isBefore(this.rankOf(a), this.rankOf(b)));
  }

  private rankOf({ key, index, settings }: GraphNode): Rank {
    const { priority = 0, dueSeconds = Number.MAX_SAFE_INTEGER } = this.settingsOf(settings);
    if (this.graph.order === undefined) return [-priority, 0, 0, index, 0]; // as it was then
    return [-priority, dueSeconds, this.ages.get(key) ?? 0, index, this.places.get(key) ?? 0];
  }

  private settingsOf(position: number): Partial<Graph['settings'][number]> {
    return this.graph.settings[position] ?? {};
  }
}
