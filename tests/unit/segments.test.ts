import fc from 'fast-check';
import { ReadyQueue } from '../../dag/ready-queue';
import { segmentsOf } from '../../dag/segments';
import type { EndedNode, NodeEnd, Segment } from '../../schemas/graph';
import { dice } from '../support/dice';
import { graphOf, graphsUpTo, node } from '../support/graphs';

const anyGraph = graphsUpTo(60);

/** The parts of a graph, each with its own queue, and messages on their way between them. */
class World {
  readonly ends = new Map<string, NodeEnd>();
  readonly queues: ReadyQueue[];
  peak = 0;
  private readonly running: { readonly part: number; readonly key: string }[] = [];
  private readonly messages: { readonly to: number; readonly node: EndedNode }[] = [];

  private readonly segments: readonly Segment[];
  private readonly endFor: (key: string) => NodeEnd;

  constructor(segments: readonly Segment[], endFor: (key: string) => NodeEnd) {
    this.segments = segments;
    this.endFor = endFor;
    this.queues = segments.map((segment) => new ReadyQueue(segment));
  }

  /** Runs to the end; what happens next is thrown by the dice. */
  run(roll: (sides: number) => number): void {
    for (;;) {
      for (const [part, queue] of this.queues.entries()) {
        for (const { key } of queue.take()) this.running.push({ part, key });
      }
      this.peak = Math.max(this.peak, this.running.length);
      const events = this.running.length + this.messages.length;
      if (events === 0) return;
      const at = roll(events);
      if (at < this.running.length) {
        const [done] = this.running.splice(at, 1);
        if (done !== undefined) this.settle(done.part, done.key, this.endFor(done.key));
      } else {
        const [message] = this.messages.splice(at - this.running.length, 1);
        if (message !== undefined) this.settle(message.to, message.node.key, message.node.end);
      }
    }
  }

  private settle(part: number, key: string, end: NodeEnd): void {
    const queue = this.queues[part];
    for (const ended of queue?.settle(key, end) ?? []) {
      if (queue?.nodeOf(ended.key) === undefined) continue;
      this.ends.set(ended.key, ended.end);
      for (const tell of this.segments[part]?.tells ?? []) {
        if (tell.keys.includes(ended.key)) this.messages.push({ to: tell.segment, node: ended });
      }
    }
  }
}

describe('segments', () => {
  it('end every node as one queue over the whole graph does, whatever comes when', () => {
    const some = fc.array(fc.nat({ max: 59 }), { maxLength: 6 });
    const chance = fc.record({ failing: some, skipping: some, seed: fc.nat() });
    fc.assert(
      fc.property(anyGraph, chance, (graph, { failing, skipping, seed }) => {
        const endFor = (key: string): NodeEnd => {
          const i = Number(key.slice(1));
          return failing.includes(i) ? 'failed' : skipping.includes(i) ? 'skipped' : 'succeeded';
        };
        const whole = new World([{ ...graph, segment: 0, tells: [] }], endFor);
        whole.run(dice(seed));
        const segments = segmentsOf(graph, 7);
        const parts = new World(segments, endFor);
        parts.run(dice(seed + 1));
        expect(parts.queues.every((queue) => queue.done)).toBe(true);
        expect(Object.fromEntries(parts.ends)).toEqual(Object.fromEntries(whole.ends));
      }),
      { numRuns: 1_000 },
    );
  });

  it('hold every node once, depend on earlier ones only, and tell all that cross a border', () => {
    fc.assert(
      fc.property(anyGraph, (graph) => {
        const segments = segmentsOf(graph, 7);
        const keys = segments.flatMap(({ nodes }) => nodes.map(({ key }) => key));
        expect(keys.toSorted()).toEqual(graph.nodes.map(({ key }) => key).toSorted());
        const partOf = new Map(
          segments.flatMap(({ nodes, segment }) => nodes.map(({ key }) => [key, segment] as const)),
        );
        for (const { nodes, segment } of segments) {
          for (const need of nodes.flatMap(({ needs }) => needs)) {
            const from = partOf.get(need) ?? -1;
            expect(from).toBeLessThanOrEqual(segment);
            if (from === segment) continue;
            const told = segments[from]?.tells.filter((tell) => tell.segment === segment);
            expect(told?.flatMap((tell) => tell.keys)).toContain(need);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('keep chains together: 100 chains of 10 are cut nowhere but at the ends of parts', () => {
    const chains = Array.from({ length: 1_000 }, (_, i) => node(i, i % 10 === 0 ? [] : [i - 1]));
    const segments = segmentsOf(graphOf(chains), 100);
    expect(segments).toHaveLength(10);
    expect(segments.flatMap(({ tells }) => tells)).toEqual([]);
  });

  it('keep a foreach within its limit over all parts', () => {
    const items = Array.from({ length: 50 }, (_, i) => node(i, [], { group: 'g' }));
    const join = node(50, [], { key: 'g', kind: 'join', needs: items.map(({ key }) => key) });
    const graph = graphOf([...items, join], { g: { parallel: 3, minSuccess: 1 } });
    const segments = segmentsOf(graph, 10);
    expect(segments.length).toBeGreaterThan(4);
    const world = new World(segments, (key) => (key === 'n7' ? 'failed' : 'succeeded'));
    world.run(dice(7));
    expect(world.queues.every((queue) => queue.done)).toBe(true);
    expect(world.peak).toBe(3);
    expect(world.ends.get('g')).toBe('failed');
    expect(items.filter(({ key }) => world.ends.get(key) === 'succeeded')).toHaveLength(49);
  });

  it('stop a foreach of many items after so many failures alike, wherever these were', () => {
    const items = Array.from({ length: 50 }, (_, i) => node(i, [], { group: 'g' }));
    const join = node(50, [], { key: 'g', kind: 'join', needs: items.map(({ key }) => key) });
    const rest = Array.from({ length: 20 }, (_, i) => node(51 + i, []));
    const groups = { g: { parallel: 1, minSuccess: 1, stopAfter: 2 } };
    const segments = segmentsOf(graphOf([...items, join, ...rest], groups), 10);
    expect(segments.length).toBeGreaterThan(1);
    const world = new World(segments, (key) => {
      return ['n3', 'n30', 'n40'].includes(key) ? 'failed' : 'succeeded';
    });
    world.run(dice(7));
    const ends = items.map(({ key }) => world.ends.get(key));
    expect(ends.filter((end) => end === 'failed')).toHaveLength(2);
    expect(ends.slice(31)).toEqual(Array(19).fill('blocked'));
  });

  it('leave a small graph whole', () => {
    const graph = graphOf([node(0, []), node(1, [0])]);
    expect(segmentsOf(graph)).toEqual([{ ...graph, segment: 0, tells: [] }]);
  });
});
