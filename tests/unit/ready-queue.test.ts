import fc from 'fast-check';
import { ReadyQueue } from '../../dag/ready-queue';
import type { NodeEnd } from '../../dag/ready-queue';
import type { Graph, GraphNode } from '../../schemas/plan';

function node(index: number, needs: readonly number[], group?: GraphNode['group']): GraphNode {
  return {
    key: `n${index}`,
    step: `n${index}`,
    index,
    item: undefined,
    needs: needs.map((i) => `n${i}`),
    if: undefined,
    group,
    builtin: false,
    pool: 'cpu',
    timeoutSeconds: 1,
    graceSeconds: 1,
    retry: { max: 0, on: [] },
  };
}
const graphOf = (nodes: readonly GraphNode[]): Graph => ({ nodes, params: {} });

/** Random acyclic graphs: node i may need any earlier node. */
const anyGraph = fc
  .array(fc.array(fc.nat(), { maxLength: 3 }), { minLength: 1, maxLength: 40 })
  .map((rows) =>
    graphOf(rows.map((row, i) => node(i, i === 0 ? [] : [...new Set(row.map((n) => n % i))]))),
  );

/** What must come out, by the sentences of the language, without any queue. */
function naive(graph: Graph, fails: ReadonlySet<string>): Map<string, NodeEnd> {
  const ends = new Map<string, NodeEnd>();
  const broken = new Set<string>();
  for (const n of graph.nodes) {
    if (n.needs.some((key) => broken.has(key))) {
      ends.set(n.key, 'skipped');
      broken.add(n.key);
    } else if (fails.has(n.key)) {
      ends.set(n.key, 'failed');
      broken.add(n.key);
    } else ends.set(n.key, 'succeeded');
  }
  return ends;
}

describe('ready queue', () => {
  it('ends every node as a naive evaluator does, needs always first, in any order of completion', () => {
    const fails = fc.array(fc.nat({ max: 39 }), { maxLength: 5 });
    const choices = fc.array(fc.nat(), { minLength: 40, maxLength: 40 });
    fc.assert(
      fc.property(anyGraph, fails, choices, (graph, failing, picks) => {
        const failed = new Set(failing.map((i) => `n${i}`));
        const queue = new ReadyQueue(graph);
        const ends = new Map<string, NodeEnd>();
        const running: GraphNode[] = [];
        for (let turn = 0; !queue.done; turn += 1) {
          for (const taken of queue.take()) {
            for (const need of taken.needs) expect(ends.has(need)).toBe(true);
            running.push(taken);
          }
          const [ended] = running.splice((picks[turn % picks.length] ?? 0) % running.length, 1);
          if (ended === undefined) throw new Error('nothing runs, yet it is not done');
          const end: NodeEnd = failed.has(ended.key) ? 'failed' : 'succeeded';
          ends.set(ended.key, end);
          for (const skipped of queue.settle(ended.key, end)) ends.set(skipped.key, 'skipped');
        }
        expect(ends).toEqual(naive(graph, failed));
        expect(queue.unfinished).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('starts in order of the graph and keeps a group within its limit', () => {
    const group = { name: 'g', parallel: 2 };
    const queue = new ReadyQueue(graphOf([0, 1, 2, 3].map((i) => node(i, [], group))));
    const keys = (): string[] => queue.take().map((n) => n.key);
    expect(keys()).toEqual(['n0', 'n1']);
    expect(keys()).toEqual([]);
    queue.settle('n1', 'succeeded');
    expect(keys()).toEqual(['n2']);
  });

  it('never runs more than 200 at once', () => {
    const queue = new ReadyQueue(graphOf(Array.from({ length: 300 }, (_, i) => node(i, []))));
    expect(queue.take()).toHaveLength(200);
  });

  it('skips what depends on skipped steps only, and runs what has another need', () => {
    const queue = new ReadyQueue(
      graphOf([node(0, []), node(1, []), node(2, [0]), node(3, [0, 1])]),
    );
    queue.take();
    expect(queue.settle('n0', 'skipped')).toEqual([{ key: 'n2', reason: 'n0 was skipped' }]);
    queue.settle('n1', 'succeeded');
    expect(queue.take().map((n) => n.key)).toEqual(['n3']);
  });
});
