import fc from 'fast-check';
import { Heap } from '../../dag/heap';
import { ReadyQueue } from '../../dag/ready-queue';
import { isBefore, type Rank } from '../../dag/ready-order';
import { expandGraph } from '../../dag/expand';
import type { Graph, GraphNode } from '../../schemas/graph';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { graphOf, node } from '../support/graphs';

const few = fc.integer({ min: -2, max: 2 }); // so that many are equal
const rank: fc.Arbitrary<Rank> = fc.tuple(few, few, few, few, few);
const keysOf = (nodes: readonly GraphNode[]): string[] => nodes.map(({ key }) => key);

describe('the order of what is ready', () => {
  it('is total: of two different ranks one comes first, and first of first is first', () => {
    fc.assert(
      fc.property(rank, rank, rank, (a, b, c) => {
        const isSame = a.every((own, i) => own === b[i]);
        expect([isBefore(a, b), isBefore(b, a)].filter(Boolean)).toHaveLength(isSame ? 0 : 1);
        if (isBefore(a, b) && isBefore(b, c)) expect(isBefore(a, c)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is that of the heap, however it was filled and emptied', () => {
    const step = fc.oneof(rank, fc.constant(undefined)); // put one in, or take one out
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const heap = new Heap<Rank>(isBefore);
        let inside: Rank[] = [];
        for (const one of steps) {
          if (one === undefined) {
            const [least, ...rest] = inside.toSorted((a, b) => compare(a, b));
            expect(heap.pop()).toEqual(least);
            inside = rest;
          } else {
            heap.push(one);
            inside.push(one);
          }
        }
        expect(heap.size).toBe(inside.length);
      }),
      { numRuns: 500 },
    );
  });

  it('is priority, then what is due, then age, then the place in the graph', () => {
    const settings = [{}, { priority: 1 }, { dueSeconds: 60 }, { dueSeconds: 30 }];
    const nodes = [0, 1, 2, 3, 0].map((of, i) => node(i, [], { settings: of }));
    const given = graphOf(nodes);
    const base = given.settings[0];
    if (base === undefined) throw new Error('no settings');
    const old: Graph = { ...given, settings: settings.map((own) => ({ ...base, ...own })) };
    const graph: Graph = { ...old, order: 2 };
    expect(keysOf(new ReadyQueue(graph).take())).toEqual(['n1', 'n3', 'n2', 'n0', 'n4']);
    // a graph of an older history knows priority and place only
    expect(keysOf(new ReadyQueue(old).take())).toEqual(['n1', 'n0', 'n2', 'n3', 'n4']);
  });

  it('starts what has waited longer before what became ready later', () => {
    const many = Array.from({ length: 201 }, (_, i) => node(i + 2, []));
    const queue = new ReadyQueue({ ...graphOf([node(0, []), node(1, [0]), ...many]), order: 2 });
    expect(queue.take()).toHaveLength(200);
    queue.settle('n0', 'succeeded'); // n1 is ready now, and stands before n201 and n202
    queue.settle('n2', 'succeeded');
    expect(keysOf(queue.take())).toEqual(['n201', 'n202']);
    queue.settle('n3', 'succeeded');
    expect(keysOf(queue.take())).toEqual(['n1']);
  });

  it('starts the items of a late foreach in their order', () => {
    const graph: Graph = { ...graphOf([node(0, [], { kind: 'expand', key: 'each' })]), order: 2 };
    const queue = new ReadyQueue(graph);
    queue.take();
    const items = Array.from({ length: 12 }, (_, i) =>
      node(0, [], { key: `each[${i}]`, group: 'each' }),
    );
    queue.expand('each', items, { each: { parallel: 100, minSuccess: 1 } });
    expect(keysOf(queue.take())).toEqual(keysOf(items));
  });
});

describe('the time by which a step is due', () => {
  const dueOf = (yaml: string): Record<string, number | undefined> => {
    const { settings } = expandGraph(compileYaml(`version: 1\nname: p\nsteps:\n${yaml}`), {});
    return Object.fromEntries(settings.map(({ step, dueSeconds }) => [step, dueSeconds]));
  };

  it('is the earliest deadline of it and of all that waits for it', () => {
    const due = dueOf(`
  a: { run: x }
  b: { run: x, after: [a], deadline: 2h }
  c: { run: x, after: [a, b], deadline: 3h }
  d: { run: x, after: [b], deadline: 1h }
  e: { run: x }
`);
    expect(due).toEqual({ a: 3_600, b: 3_600, c: 10_800, d: 3_600, e: undefined });
  });

  it('reaches into a foreach and a sub-pipeline', () => {
    const due = dueOf(`
  each: { run: x, foreach: { i: "[1, 2]" } }
  sub:
    steps:
      in1: { run: x }
      in2: { run: x, after: [in1] }
  last: { run: x, after: [each, sub], deadline: 90s }
`);
    expect(due).toMatchObject({ each: 90, 'sub.in1': 90, 'sub.in2': 90, last: 90 });
  });

  it('stands in no settings if nothing has a deadline', () => {
    expect(dueOf('  a: { run: x }\n')).toEqual({ a: undefined });
  });
});

function compare(a: Rank, b: Rank): number {
  return isBefore(a, b) ? -1 : isBefore(b, a) ? 1 : 0;
}
