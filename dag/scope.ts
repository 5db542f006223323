import type { Graph, GraphNode, Outputs } from '../schemas/plan';

/** What an artifact looks like inside an expression: only its reference. */
export interface ArtifactRef {
  readonly artifact: string;
  readonly kind: string;
}

/**
 * What expressions of a node may read: `params`, `item`, `steps.<name>.outputs`. The outputs of a
 * foreach step are a list in item order, each with `item`.
 */
export function scopeFor(
  graph: Graph,
  node: Pick<GraphNode, 'item'>,
  outputs: Readonly<Record<string, Outputs | undefined>>,
): Readonly<Record<string, unknown>> {
  const steps: Record<string, { outputs: unknown }> = {};
  for (const other of graph.nodes) {
    const committed = outputs[other.key];
    if (committed === undefined) continue;
    const values = plain(committed);
    if (other.group === undefined) {
      steps[other.step] = { outputs: values };
      continue;
    }
    const list = (steps[other.step] ??= { outputs: [] }).outputs as unknown[];
    list.push({ ...values, item: other.item });
  }
  return { params: graph.params, item: node.item ?? {}, steps };
}

function plain(outputs: Outputs): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, output]) => [
      name,
      'artifact' in output ? { artifact: output.artifact, kind: output.kind } : output.value,
    ]),
  );
}

/** True for a value that stands for an artifact. */
export function isArtifactRef(value: unknown): value is ArtifactRef {
  return value !== null && typeof value === 'object' && 'artifact' in value && 'kind' in value;
}
