import type { Lineage, LineageDirection, LineageNode } from '../schemas/lineage';

const ID_SHOWN = 12;
const TITLES = { up: 'made of', down: 'led to' } as const;
type Way = keyof typeof TITLES;

/** A lineage as lines: each start, and below it as trees what it was made of and what it led to. */
export function renderLineage(lineage: Lineage, direction: LineageDirection): string[] {
  const ways: readonly Way[] = direction === 'both' ? ['up', 'down'] : [direction];
  const trees = ways.map((way) => ({ title: TITLES[way], tree: new Tree(lineage, way) }));
  return lineage.start.flatMap((start) => [
    ...trees.slice(0, 1).map(({ tree }) => tree.name(start)),
    ...trees.flatMap(({ title, tree }) => {
      const lines = tree.below(start, 2);
      return [`  ${title}${lines.length === 0 ? ': nothing that is known' : ''}`, ...lines];
    }),
  ]);
}

class Tree {
  private readonly nodes: ReadonlyMap<string, LineageNode>;
  private readonly next = new Map<string, { readonly key: string; readonly name: string }[]>();
  private readonly shown = new Set<string>();

  constructor({ nodes, edges }: Lineage, way: Way) {
    this.nodes = new Map(nodes.map((node) => [`${node.kind}:${node.id}`, node]));
    for (const { from, to, name } of edges) {
      const [here, there] = way === 'up' ? [to, from] : [from, to];
      this.next.set(here, [...(this.next.get(here) ?? []), { key: there, name }]);
    }
  }

  name(key: string): string {
    const node = this.nodes.get(key);
    return node === undefined ? key : describe(node);
  }

  /** What leads on from here; a node that leads further is followed once. */
  below(key: string, depth: number): string[] {
    return (this.next.get(key) ?? []).flatMap(({ key: there, name }) => {
      const label = name === '' ? '' : `${name}: `;
      const isKnown = this.shown.has(there) && this.next.has(there);
      this.shown.add(there);
      const line = `${'  '.repeat(depth)}${label}${this.name(there)}`;
      return isKnown ? [`${line} (above)`] : [line, ...this.below(there, depth + 1)];
    });
  }
}

function describe(node: LineageNode): string {
  switch (node.kind) {
    case 'artifact':
      return `${node.artifactKind} ${node.id.slice(0, ID_SHOWN)}, ${node.sizeBytes} bytes`;
    case 'step': {
      const code = node.codeDigest === null ? '' : `, code ${node.codeDigest.slice(0, ID_SHOWN)}`;
      const git = node.gitCommit === null ? '' : `, commit ${node.gitCommit.slice(0, ID_SHOWN)}`;
      return `step ${node.stepKey} of ${node.pipeline}, run ${node.runId}${code}${git}`;
    }
    case 'model': {
      const aliases = node.aliases.length === 0 ? '' : ` (${node.aliases.join(', ')})`;
      return `model ${node.model} version ${node.version}${aliases}`;
    }
  }
}
