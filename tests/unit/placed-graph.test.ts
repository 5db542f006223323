import { expandGraph } from '../../dag/expand';
import { placeSteps, showGraph, type StepState } from '../../dag/placed-graph';
import { renderGraph } from '../../cli/graph-text';
import type { StepStatus } from '../../schemas/pipeline-runs';
import type { RunGraph } from '../../schemas/run-graph';
import { plan, step } from '../support/plans';

function states(of: Readonly<Record<string, StepStatus>>): StepState[] {
  return Object.entries(of).map(([key, status]) => ({
    key,
    status,
    startedAtMs: status === 'waiting' ? undefined : 1_000,
    endedAtMs: status === 'succeeded' ? 3_000 : undefined,
  }));
}
const each = { foreach: { i: 'params.list' } };
const listed = { list: { type: 'list' as const, default: [1, 2, 3] } };
const sweep = plan(
  [step('a'), step('each', { ...each, after: ['a'] }), step('z', { after: ['each'] })],
  listed,
);

function show(of: Readonly<Record<string, StepStatus>>, isFull = false): RunGraph {
  const params = { list: [1, 2, 3] };
  return showGraph(placeSteps(expandGraph(sweep, params), states(of)), { isFull });
}

describe('the graph of a run', () => {
  const under = {
    a: 'succeeded',
    'each[0]': 'succeeded',
    'each[1]': 'running',
    'each[2]': 'waiting',
  } as const;

  it('shows a foreach as one node with counts', () => {
    const { nodes, edges } = show({ ...under, z: 'waiting' });
    expect(nodes.map(({ key, kind, status }) => [key, kind, status])).toEqual([
      ['a', 'step', 'succeeded'],
      ['each', 'group', 'running'],
      ['z', 'step', 'waiting'],
    ]);
    expect(nodes[1]?.steps).toEqual({
      total: 3,
      byStatus: { succeeded: 1, running: 1, waiting: 1 },
    });
    expect(edges).toEqual([
      { from: 'a', to: 'each' },
      { from: 'each', to: 'z' },
    ]);
  });

  it('shows every item when asked', () => {
    const { nodes, edges } = show({ ...under, z: 'waiting' }, true);
    expect(nodes.map(({ key }) => key)).toEqual([
      'a',
      'each[0]',
      'each[1]',
      'each[2]',
      'each',
      'z',
    ]);
    expect(edges).toContainEqual({ from: 'each[2]', to: 'each' });
  });

  it('knows how a foreach ended', () => {
    const ended = { a: 'succeeded', 'each[0]': 'succeeded', 'each[1]': 'failed' } as const;
    expect(show({ ...ended, 'each[2]': 'succeeded', z: 'skipped' }).nodes[1]?.status).toBe(
      'failed',
    );
    expect(show({ ...ended, 'each[2]': 'cancelled', z: 'cancelled' }).nodes[1]?.status).toBe(
      'cancelled',
    );
  });

  it('adds items that became known late, and orders steps by their needs', () => {
    const late = { foreach: { i: 'steps.list.outputs.items' } };
    const known = plan([
      step('z', { after: ['each'] }),
      step('each', late),
      step('list', { outputs: { items: { value: true } } }),
    ]);
    const rows = {
      list: 'succeeded',
      each: 'running',
      'each[0]': 'running',
      'each[1]': 'waiting',
    } as const;
    const { nodes, edges } = showGraph(placeSteps(expandGraph(known, {}), states(rows)), {
      isFull: false,
    });
    expect(nodes.map(({ key }) => key)).toEqual(['list', 'each', 'z']);
    expect(nodes[1]).toMatchObject({ status: 'running', steps: { total: 2 } });
    expect(edges).toContainEqual({ from: 'list', to: 'each' });
  });
});

describe('a graph as text', () => {
  it('puts each step behind what it needs, with marks and counts', () => {
    const graph = show({
      a: 'succeeded',
      'each[0]': 'failed',
      'each[1]': 'running',
      'each[2]': 'waiting',
      z: 'waiting',
    });
    expect(renderGraph(graph, { isFull: false })).toEqual([
      '✓ a 2 s',
      '●   each [3 steps, 1 failed, 1 running, 1 waiting] ← a',
      '·     z ← each',
    ]);
  });

  it('folds a long chain and shows all of it when asked', () => {
    const count = 10_000;
    const key = (i: number): string => `s${i}`;
    const nodes = Array.from({ length: count }, (_, i) => ({
      key: key(i),
      kind: 'step' as const,
      status: i < 3 ? ('succeeded' as const) : ('waiting' as const),
      steps: null,
      startedAt: null,
      endedAt: null,
    }));
    const edges = nodes.slice(1).map((_, i) => ({ from: key(i), to: key(i + 1) }));
    expect(renderGraph({ nodes, edges }, { isFull: false })).toEqual([
      '✓ s0',
      '✓   s1 ← s0',
      '✓     s2 ← s1',
      '·       s3 … s9999 [9997 steps, 9997 waiting] ← s2',
    ]);
    expect(renderGraph({ nodes, edges }, { isFull: true })).toHaveLength(count);
  });

  it('leaves out what is quiet, never a failure', () => {
    const letters = (i: number): string =>
      String(i).replace(/\d/g, (digit) => 'abcdefghij'[Number(digit)] ?? '');
    const nodes = Array.from({ length: 500 }, (_, i) => ({
      key: letters(i),
      kind: 'step' as const,
      status: i === 400 ? ('failed' as const) : ('waiting' as const),
      steps: null,
      startedAt: null,
      endedAt: null,
    }));
    const lines = renderGraph({ nodes, edges: [] }, { isFull: false });
    expect(lines).toContain('✗ eaa');
    expect(lines).toContain('  … 281 steps, 281 waiting'); // 119 before it are shown
    expect(lines.length).toBe(123);
  });
});
