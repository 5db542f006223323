import type { BroughtSettings, GraphNode, NodeSettings } from '../schemas/graph';

/**
 * Adds the settings of steps that came into a run behind those that it knows; its nodes by the
 * positions that they have there.
 */
export function bringSettings(
  known: NodeSettings[],
  nodes: readonly GraphNode[],
  { kinds, of }: BroughtSettings,
): GraphNode[] {
  const first = known.length;
  known.push(...of.flatMap((kind) => kinds[kind] ?? []));
  return nodes.map((node) => ({ ...node, settings: first + node.settings }));
}
