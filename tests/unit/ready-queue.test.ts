import fc from 'fast-check';
import { ReadyQueue } from '../../dag/ready-queue';
import type { Graph, GraphNode, NodeEnd, NodeGroup } from '../../schemas/graph';
import { graphOf, graphsUpTo, node } from '../support/graphs';

const endsOf = (graph: Graph, queue: ReadyQueue): [string, NodeEnd | undefined][] =>
  graph.nodes.map(({ key }) => [key, queue.endOf(key)]);

const anyGraph = graphsUpTo(40);

/** What must come out, by the sentences of the language, without any queue. */
function naive(graph: Graph, fails: ReadonlySet<string>): [string, NodeEnd][] {
  const ends = new Map<string, NodeEnd>();
  for (const n of graph.nodes) {
    const isBlocked = n.needs.some((key) => ends.get(key) !== 'succeeded');
    ends.set(n.key, isBlocked ? 'blocked' : fails.has(n.key) ? 'failed' : 'succeeded');
  }
  return [...ends];
}

describe('ready queue', () => {
  it('ends every node as a naive evaluator does, needs always first, in any order of completion', () => {
    const fails = fc.array(fc.nat({ max: 39 }), { maxLength: 5 });
    const choices = fc.array(fc.nat(), { minLength: 40, maxLength: 40 });
    fc.assert(
      fc.property(anyGraph, fails, choices, (graph, failing, picks) => {
        const failed = new Set(failing.map((i) => `n${i}`));
        const queue = new ReadyQueue(graph);
        const running: GraphNode[] = [];
        for (let turn = 0; !queue.done; turn += 1) {
          for (const taken of queue.take()) {
            for (const need of taken.needs) expect(queue.endOf(need)).toBe('succeeded');
            running.push(taken);
          }
          const [ended] = running.splice((picks[turn % picks.length] ?? 0) % running.length, 1);
          if (ended === undefined) throw new Error('nothing runs, yet it is not done');
          queue.settle(ended.key, failed.has(ended.key) ? 'failed' : 'succeeded');
        }
        expect(endsOf(graph, queue)).toEqual(naive(graph, failed));
        expect(queue.unfinished).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('starts by priority, then in order of the graph', () => {
    const queue = new ReadyQueue(
      graphOf([
        node(0, []),
        node(1, [], { settings: 1 }),
        node(2, []),
        node(3, [], { settings: 1 }),
      ]),
    );
    expect(queue.take().map(({ key }) => key)).toEqual(['n1', 'n3', 'n0', 'n2']);
  });

  it('takes back what did not begin, and gives its place to another', () => {
    const groups = { g: { parallel: 1, minSuccess: 1, stopAfter: 1 } };
    const items = [0, 1, 2].map((i) => node(i, [], { group: 'g' }));
    const queue = new ReadyQueue({ ...graphOf(items), groups });
    expect(queue.take().map(({ key }) => key)).toEqual(['n0']);
    expect(queue.putBack('n0', false)).toEqual([]);
    expect(queue.runningKeys).toEqual([]);
    expect(queue.take().map(({ key }) => key)).toEqual(['n0']);
    expect(queue.putBack('n1', false)).toEqual([]); // it was not taken
    queue.settle('n0', 'failed', 'no rows');
    expect(queue.endOf('n1')).toBe('blocked');
  });

  it('blocks what did not begin before its group stopped, but for a retry', () => {
    const groups = { g: { parallel: 3, minSuccess: 1, stopAfter: 1 } };
    const items = [0, 1, 2].map((i) => node(i, [], { group: 'g' }));
    const queue = new ReadyQueue({ ...graphOf(items), groups });
    expect(queue.take()).toHaveLength(3);
    queue.settle('n0', 'failed', 'no rows');
    expect(queue.putBack('n1', false)).toMatchObject([{ key: 'n1', end: 'blocked' }]);
    expect(queue.putBack('n2', true)).toEqual([]);
    expect(queue.take().map(({ key }) => key)).toEqual(['n2']);
  });

  it('keeps a group within its limit', () => {
    const groups = { g: { parallel: 2, minSuccess: 1 } };
    const items = [0, 1, 2, 3].map((i) => node(i, [], { group: 'g' }));
    const queue = new ReadyQueue(graphOf(items, groups));
    const keys = (): string[] => queue.take().map((n) => n.key);
    expect(keys()).toEqual(['n0', 'n1']);
    expect(keys()).toEqual([]);
    queue.settle('n2', 'skipped'); // while it waits for a place
    queue.settle('n1', 'succeeded');
    expect(keys()).toEqual(['n3']);
  });

  it('never runs more than 200 at once', () => {
    const queue = new ReadyQueue(graphOf(Array.from({ length: 300 }, (_, i) => node(i, []))));
    expect(queue.take()).toHaveLength(200);
  });

  it('runs at most 64 built-in ones, and the steps behind them all the same', () => {
    const BUILTIN = 2;
    const nodes = Array.from({ length: 150 }, (_, i) =>
      node(i, [], i < 100 ? { settings: BUILTIN } : {}),
    );
    const queue = new ReadyQueue(graphOf(nodes));
    const keys = queue.take().map(({ key }) => key);
    expect(keys).toEqual(nodes.filter((_, i) => i < 64 || i >= 100).map(({ key }) => key));
    queue.settle('n0', 'succeeded');
    queue.settle('n100', 'succeeded');
    expect(queue.take().map(({ key }) => key)).toEqual(['n64']);
  });

  it('skips what depends on skipped steps only, and runs what has another need', () => {
    const queue = new ReadyQueue(
      graphOf([node(0, []), node(1, []), node(2, [0]), node(3, [0, 1])]),
    );
    queue.take();
    expect(queue.settle('n0', 'skipped', 'false')).toEqual([
      { key: 'n0', end: 'skipped', reason: 'false' },
      { key: 'n2', end: 'skipped', reason: 'n0 was skipped' },
    ]);
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
        expect(endsOf(graph, queue)).toEqual([...ends]);
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
    expect(queue.settle('n1', 'succeeded')).toHaveLength(499);
    expect(queue.done).toBe(true);
  });

  it('ends a node once', () => {
    const queue = new ReadyQueue(graphOf([node(0, []), node(1, [0])]));
    queue.take();
    expect(queue.settle('n0', 'succeeded')).toEqual([{ key: 'n0', end: 'succeeded' }]);
    expect(queue.settle('n0', 'failed')).toEqual([]);
    expect(queue.endOf('n0')).toBe('succeeded');
  });

  it('cancels all that has not ended, and starts nothing of it', () => {
    const queue = new ReadyQueue(graphOf([node(0, []), node(1, [0]), node(2, [])]));
    queue.settle('n2', 'succeeded');
    expect(queue.cancelAll('stop').map(({ key }) => key)).toEqual(['n0', 'n1']);
    expect(queue.take()).toEqual([]);
    expect(queue.done).toBe(true);
  });

  it('waits for an `after` however it ended, and hears of nodes elsewhere', () => {
    const queue = new ReadyQueue(
      graphOf([node(0, [], { after: ['far'] }), node(1, [], { needs: ['far'] })]),
    );
    expect(queue.take()).toEqual([]);
    expect(queue.settle('far', 'failed').map(({ key, end }) => `${key} ${end}`)).toEqual([
      'far failed',
      'n1 blocked',
    ]);
    expect(queue.take().map(({ key }) => key)).toEqual(['n0']);
  });
});

describe('the join of a foreach', () => {
  function ended(ends: readonly NodeEnd[], rules: Partial<NodeGroup>): string | undefined {
    const items = ends.map((_, i) => node(i, [], { group: 'g' }));
    const needs = items.map(({ key }) => key);
    const join = node(99, [], { key: 'g', kind: 'join', needs });
    const after = node(100, [], { needs: ['g'] });
    const groups = { g: { parallel: 1_000, minSuccess: 1, ...rules } };
    const queue = new ReadyQueue(graphOf([...items, join, after], groups));
    queue.take();
    for (const [i, end] of ends.entries()) queue.settle(`n${i}`, end);
    expect(queue.failed.map(({ key }) => key)).toEqual(queue.endOf('g') === 'failed' ? ['g'] : []);
    expect(queue.take()).toHaveLength(queue.endOf('g') === 'succeeded' ? 1 : 0);
    return queue.endOf('g');
  }

  it('succeeds with all, fails with one lost, is skipped when nothing was wanted', () => {
    expect(ended(['succeeded', 'succeeded'], {})).toBe('succeeded');
    expect(ended(['succeeded', 'failed'], {})).toBe('failed');
    expect(ended(['succeeded', 'skipped'], {})).toBe('succeeded');
    expect(ended(['skipped', 'skipped'], {})).toBe('skipped');
    expect(ended(['blocked', 'blocked'], {})).toBe('blocked');
    expect(ended(['blocked', 'skipped'], { minSuccess: 0 })).toBe('blocked');
  });

  it('takes a share of successes among those that were wanted', () => {
    const ten = (failed: number): NodeEnd[] =>
      Array.from({ length: 10 }, (_, i) => (i < failed ? 'failed' : 'succeeded'));
    expect(ended(ten(1), { minSuccess: 0.9 })).toBe('succeeded');
    expect(ended(ten(2), { minSuccess: 0.9 })).toBe('failed');
    expect(ended([...ten(1), 'skipped', 'skipped'], { minSuccess: 0.9 })).toBe('succeeded');
    expect(ended(ten(10), { minSuccess: 0 })).toBe('succeeded');
  });

  it('starts no further item after failures alike', () => {
    const items = Array.from({ length: 6 }, (_, i) => node(i, [], { group: 'g' }));
    const join = node(99, [], { key: 'g', kind: 'join', needs: items.map(({ key }) => key) });
    const groups = { g: { parallel: 2, minSuccess: 1, stopAfter: 2 } };
    const queue = new ReadyQueue(graphOf([...items, join], groups));
    queue.take();
    queue.settle('n0', 'failed', 'no such column');
    queue.settle('n1', 'failed', 'another reason');
    expect(queue.take()).toHaveLength(2);
    const ends = queue.settle('n2', 'failed', 'no such column');
    expect(ends.map(({ key, end }) => `${key} ${end}`)).toEqual([
      'n2 failed',
      'n4 blocked',
      'n5 blocked',
    ]);
    queue.settle('n3', 'succeeded');
    expect(queue.endOf('g')).toBe('failed');
  });

  it('is made of items that became known late', () => {
    const graph = graphOf(
      [node(0, [], { key: 'g', kind: 'expand' }), node(1, [], { needs: ['g'] })],
      {
        g: { parallel: 1, minSuccess: 1 },
      },
    );
    const queue = new ReadyQueue(graph);
    expect(queue.take().map(({ key }) => key)).toEqual(['g']);
    const items = [0, 1].map((i) => node(0, [], { key: `g[${i}]`, group: 'g' }));
    expect(queue.expand('g', items)).toEqual([]);
    expect(queue.take().map(({ key }) => key)).toEqual(['g[0]']);
    queue.settle('g[0]', 'succeeded');
    expect(queue.take().map(({ key }) => key)).toEqual(['g[1]']);
    queue.settle('g[1]', 'succeeded');
    expect(queue.take().map(({ key }) => key)).toEqual(['n1']);
  });

  it('asks for a list once, also where it is known before anything has started', () => {
    const queue = new ReadyQueue(graphOf([node(0, [], { kind: 'expand' })]));
    queue.expand('n0', [node(0, [], { key: 'n0[0]', group: 'n0' })]);
    expect(queue.take().map(({ key }) => key)).toEqual(['n0[0]']);
  });

  it('of an empty list has succeeded', () => {
    const queue = new ReadyQueue(graphOf([node(0, [], { kind: 'expand' }), node(1, [0])]));
    queue.take();
    expect(queue.expand('n0', []).map(({ end }) => end)).toEqual(['succeeded']);
    expect(queue.take().map(({ key }) => key)).toEqual(['n1']);
  });
});

describe('a failed node that is to run again', () => {
  it('opens what it blocked, and nothing else', () => {
    const queue = new ReadyQueue(
      graphOf([node(0, []), node(1, []), node(2, [0]), node(3, [2, 1])]),
    );
    queue.take();
    queue.settle('n0', 'failed');
    queue.settle('n1', 'succeeded');
    expect(queue.done).toBe(true);
    expect(queue.reopen('n1')).toEqual([]);
    expect(queue.reopen('n0')).toEqual(['n0', 'n2', 'n3']);
    expect(queue.done).toBe(false);
    for (const key of ['n0', 'n2', 'n3']) {
      expect(queue.take().map((taken) => taken.key)).toEqual([key]);
      queue.settle(key, 'succeeded');
    }
    expect(queue.done).toBe(true);
  });
});
