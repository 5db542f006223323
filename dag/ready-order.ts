import type { Graph, GraphNode } from '../schemas/graph';
import { Heap } from './heap';

/** Nodes that are ready, the first to start on top: by priority, then by index. */
export function readyHeap({ settings }: Pick<Graph, 'settings'>): Heap<GraphNode> {
  const priority = (node: GraphNode): number => settings[node.settings]?.priority ?? 0;
  return new Heap((a, b) => {
    const byPriority = priority(b) - priority(a);
    return byPriority === 0 ? a.index < b.index : byPriority < 0;
  });
}
