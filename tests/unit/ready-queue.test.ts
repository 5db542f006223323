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

  it('skips by conditions as the sentences say, on random graphs', () => {
    const chosen = fc.array(fc.nat({ max: 39 }), { maxLength: 8 });
    fc.assert(
      fc.property(anyGraph, chosen, (graph, indexes) => {
        const unwanted = new Set(indexes.map((i) => `n${i}`));
        const queue = new ReadyQueue(graph);
        for (let taken = queue.take(); taken.length > 0; taken = queue.take()) {
          for (const { key } of taken)
            queue.settle(key, unwanted.has(key) ? 'skipped' : 'succeeded');
        }
        const ends = new Map<string, NodeEnd>();
        for (const { key, needs } of graph.nodes) {
          const onlySkipped =
            needs.length > 0 && needs.every((need) => ends.get(need) === 'skipped');
          ends.set(key, onlySkipped || unwanted.has(key) ? 'skipped' : 'succeeded');
        }
        expect(graph.nodes.map(({ key }) => [key, queue.endOf(key)])).toEqual([...ends]);
      }),
      { numRuns: 500 },
    );
  });

  it('carries a failure through 250 layers of two, each needing both before it', () => {
    const layered = Array.from({ length: 500 }, (_, i) =>
      node(i, i < 2 ? [] : [i - (i % 2) - 2, i - (i % 2) - 1]),
    );
    const queue = new ReadyQueue(graphOf(layered));
    expect(queue.take()).toHaveLength(2);
    queue.settle('n0', 'failed');
    expect(queue.settle('n1', 'succeeded')).toHaveLength(498);
    expect(queue.done).toBe(true);
  });

  it('ends a node once: a second word counts only if it turns skipped into cancelled', () => {
    const queue = new ReadyQueue(graphOf([node(0, []), node(1, [0]), node(2, [0, 1])]));
    queue.take();
    expect(queue.settle('n0', 'succeeded')).toEqual([]);
    expect(queue.settle('n0', 'failed')).toEqual([]);
    expect(queue.endOf('n0')).toBe('succeeded');
    queue.take();
    queue.settle('n1', 'failed');
    expect(queue.endOf('n2')).toBe('skipped');
    queue.settle('n2', 'cancelled');
    expect(queue.endOf('n2')).toBe('cancelled');
  });

  it('does not start what was cancelled while it was ready', () => {
    const queue = new ReadyQueue(graphOf([node(0, []), node(1, [])]));
    queue.settle('n0', 'cancelled');
    expect(queue.take().map(({ key }) => key)).toEqual(['n1']);
  });
});
