import { ReadyQueue } from '../../dag/ready-queue';
import type { GraphNode } from '../../schemas/graph';
import { graphOf, node } from '../support/graphs';

describe('a foreach whose list becomes known', () => {
  const late = { parallel: 1_000, minSuccess: 1 };
  const inside = (item: string): GraphNode[] => [
    node(1, [], { key: `${item}.x`, group: item }),
    node(1, [], { key: `${item}.y`, needs: [`${item}.x`], group: item }),
    node(1, [], { key: item, kind: 'join', needs: [`${item}.x`, `${item}.y`], group: 'n1' }),
  ];

  it('ends with its own items, and takes the rules of what is repeated inside them', () => {
    const before = node(1, [], { kind: 'expand' });
    const queue = new ReadyQueue(graphOf([before, node(2, [1])], { n1: late }));
    expect(queue.take().map(({ key }) => key)).toEqual(['n1']);
    const inner = [0, 1].map((i) => node(1, [], { key: `n1[0].f[${i}]`, group: 'n1[0].f' }));
    const f = { key: 'n1[0].f', needs: inner.map(({ key }) => key), group: 'n1[0]' };
    const items = [
      ...inner,
      node(1, [], { ...f, kind: 'join' }),
      node(1, [], { key: 'n1[0]', kind: 'join', needs: [f.key], group: 'n1' }),
    ];
    queue.expand('n1', items, { 'n1[0].f': { parallel: 1, minSuccess: 0.5 } });
    expect(queue.nodeOf('n1')).toMatchObject({ kind: 'join', needs: ['n1[0]'] });
    expect(queue.take().map(({ key }) => key)).toEqual(['n1[0].f[0]']); // one at once
    queue.settle('n1[0].f[0]', 'failed', 'boom');
    expect(queue.take().map(({ key }) => key)).toEqual(['n1[0].f[1]']);
    queue.settle('n1[0].f[1]', 'succeeded'); // half of them is enough
    expect(queue.endOf('n1')).toBe('succeeded');
    expect(queue.take().map(({ key }) => key)).toEqual(['n2']);
  });

  it('stops before sub-pipelines that have not begun, with all that is in them', () => {
    const items = ['n1[0]', 'n1[1]', 'n1[2]', 'n1[3]'];
    const before = node(1, [], { kind: 'expand' });
    const queue = new ReadyQueue(graphOf([before], { n1: { ...late, stopAfter: 2 } }));
    queue.take();
    // the second waits for the first, and so on, but the third has begun
    const nodes = items
      .flatMap(inside)
      .map((n) => (n.key === 'n1[3].x' ? { ...n, after: ['n1[1]'] } : n));
    queue.expand('n1', nodes);
    const taken = queue.take().map(({ key }) => key);
    expect(taken.sort()).toEqual(['n1[0].x', 'n1[1].x', 'n1[2].x']);
    queue.settle('n1[0].x', 'failed', 'boom');
    expect(queue.endOf('n1[0]')).toBe('failed');
    const ended = queue.settle('n1[1].x', 'failed', 'boom');
    const blocked = ended.filter(({ end }) => end === 'blocked').map(({ key }) => key);
    expect(blocked.sort()).toEqual(['n1[1].y', 'n1[3]', 'n1[3].x', 'n1[3].y']);
    expect(queue.endedNode('n1[3].x')?.reason).toBe('2 items failed alike: boom');
    queue.settle('n1[2].x', 'succeeded');
    expect(queue.take().map(({ key }) => key)).toEqual(['n1[2].y']);
    queue.settle('n1[2].y', 'succeeded');
    expect(queue.endOf('n1')).toBe('failed');
    expect(queue.done).toBe(true);
  });
});
