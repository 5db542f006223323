import fc from 'fast-check';
import type { Graph, GraphNode, NodeGroup, NodeSettings } from '../../schemas/graph';

const settings: NodeSettings = {
  step: 'n',
  builtin: false,
  conditional: false,
  pool: 'cpu',
  timeoutSeconds: 1,
  graceSeconds: 1,
  retry: { max: 0, on: [] },
  priority: 0,
};

/** The node `n<index>`, which needs those of the given indexes; `settings: 1` has priority 1, 2 is built-in. */
export function node(
  index: number,
  needs: readonly number[],
  extra: Partial<GraphNode> = {},
): GraphNode {
  const key = `n${index}`;
  return { key, kind: 'step', index, needs: needs.map((i) => `n${i}`), settings: 0, ...extra };
}

export function graphOf(
  nodes: readonly GraphNode[],
  groups: Readonly<Record<string, NodeGroup>> = {},
): Graph {
  const kinds = [settings, { ...settings, priority: 1 }, { ...settings, builtin: true }];
  return { nodes, settings: kinds, groups };
}

/** Random acyclic graphs: node i may need any earlier node. */
export function graphsUpTo(nodes: number): fc.Arbitrary<Graph> {
  return fc
    .array(fc.array(fc.nat(), { maxLength: 3 }), { minLength: 1, maxLength: nodes })
    .map((rows) =>
      graphOf(rows.map((row, i) => node(i, i === 0 ? [] : [...new Set(row.map((n) => n % i))]))),
    );
}
