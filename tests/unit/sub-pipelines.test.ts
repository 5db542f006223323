import fc from 'fast-check';
import { expandGraph } from '../../dag/expand';
import type { Outputs } from '../../schemas/plan';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { PlanRunner } from '../support/plan-runner';

const wrap = (steps: string, head = ''): string => `version: 1\nname: p\n${head}steps:\n${steps}`;
const value = (of: unknown): Outputs => ({ v: { value: of as never } });
const SWEEP = wrap(
  `
  prep: { run: x, outputs: { v: value } }
  sweep:
    foreach: { lr: params.lrs }
    steps:
      fit:
        foreach: { seed: params.seeds }
        parallel: 2
        min_success: 0.5
        run: x
        inputs: { data: steps.prep.outputs.v }
        outputs: { v: value }
      best: { uses: builtin/best, inputs: { runs: steps.fit.outputs }, with: { by: v } }
    outputs: { top: steps.best.outputs.v, seed: "steps.best.outputs.item" }
  pick: { uses: builtin/best, inputs: { runs: steps.sweep.outputs }, with: { by: top } }
`,
  'params: { lrs: [1, 2], seeds: [7, 8] }\n',
);

describe('a sub-pipeline with a foreach', () => {
  const plan = compileYaml(SWEEP);
  const graph = expandGraph(plan, { lrs: [1, 2], seeds: [7, 8] });

  it('keeps its steps, and names what it needs of those around it', () => {
    expect(plan.steps[1]).toMatchObject({
      name: 'sweep',
      foreach: { lr: 'params.lrs' },
      needs: ['prep'],
      steps: [
        { name: 'fit', needs: ['prep'] },
        { name: 'best', needs: ['fit'] },
      ],
      outputs: { top: 'steps.best.outputs.v', seed: 'steps.best.outputs.item' },
    });
  });

  it('becomes nodes whose failures count once, in the join of their item', () => {
    expect(graph.nodes.map(({ key, kind, needs, group }) => [key, kind, needs, group])).toEqual([
      ['prep', 'step', [], undefined],
      ...[0, 1].flatMap((i) => [
        [`sweep[${i}].fit[0]`, 'step', ['prep'], `sweep[${i}].fit`],
        [`sweep[${i}].fit[1]`, 'step', ['prep'], `sweep[${i}].fit`],
        [`sweep[${i}].fit`, 'join', [0, 1].map((j) => `sweep[${i}].fit[${j}]`), `sweep[${i}]`],
        [`sweep[${i}].best`, 'step', [`sweep[${i}].fit`], `sweep[${i}]`],
        [`sweep[${i}]#outputs`, 'step', [`sweep[${i}].fit`, `sweep[${i}].best`], `sweep[${i}]`],
        [
          `sweep[${i}]`,
          'join',
          [`sweep[${i}].fit`, `sweep[${i}].best`, `sweep[${i}]#outputs`],
          'sweep',
        ],
      ]),
      ['sweep', 'join', ['sweep[0]', 'sweep[1]'], undefined],
      ['pick', 'step', ['sweep'], undefined],
    ]);
    const limited = { parallel: 2, minSuccess: 0.5 };
    expect(graph.groups).toEqual({
      sweep: { parallel: 10_000, minSuccess: 1 },
      'sweep[0].fit': limited,
      'sweep[1].fit': limited,
    });
    expect(graph.settings.map(({ step }) => step)).toEqual([
      'prep',
      'sweep',
      'sweep.fit',
      'sweep.best',
      'sweep',
      'pick',
    ]);
  });

  it('gives the items around to its steps, and its outputs to those behind it', () => {
    const run = new PlanRunner(plan, {}, ({ key, scope, inputs }) => {
      if (key === 'prep') return value(100);
      const { lr, seed } = scope['item'] as { lr: number; seed: number };
      return value(Number(inputs['data']) * lr + seed);
    }).run();
    expect(run.read('steps.sweep.outputs')).toEqual([
      { top: 108, seed: { lr: 1, seed: 8 }, item: { lr: 1 } },
      { top: 208, seed: { lr: 2, seed: 8 }, item: { lr: 2 } },
    ]);
    expect(run.read('steps.pick.outputs')).toMatchObject({ top: 208, item: { lr: 2 } });
    expect([...run.ends.values()].every((end) => end === 'succeeded')).toBe(true);
    expect(run.queue.done).toBe(true);
  });

  it('fails as one step, through its join, if more of a foreach inside fail than it tolerates', () => {
    const failing = (keys: readonly string[]) =>
      new PlanRunner(plan, {}, ({ key }) => {
        if (keys.includes(key)) throw new Error('boom');
        return value(1);
      }).run();
    const tolerated = failing(['sweep[0].fit[1]', 'sweep[1].fit[0]']);
    expect(tolerated.queue.failed).toEqual([]);
    expect(tolerated.ends.get('sweep')).toBe('succeeded');
    const failed = failing(['sweep[1].fit[0]', 'sweep[1].fit[1]']);
    expect(failed.queue.failed.map(({ key }) => key)).toEqual(['sweep']);
    expect(failed.ends.get('sweep[0]')).toBe('succeeded');
    expect(failed.ends.get('sweep[1]')).toBe('failed');
    expect(failed.ends.get('pick')).toBe('blocked');
  });
});

describe('the condition of a sub-pipeline', () => {
  const text = wrap(
    `
  sweep:
    foreach: { lr: "[1, 2, 3]" }
    if: item.lr != 2
    steps:
      a: { run: x, outputs: { v: value } }
      b: { run: x, inputs: { v: steps.a.outputs.v }, outputs: { v: value } }
    outputs: { v: steps.b.outputs.v }
  all: { run: x, inputs: { list: steps.sweep.outputs } }
`,
  );

  it('skips the whole of an item, and the list holds the others', () => {
    const run = new PlanRunner(compileYaml(text), {}, ({ scope }) =>
      value((scope['item'] as { lr?: number }).lr ?? 0),
    ).run();
    const skipped = [...run.ends].filter(([, end]) => end === 'skipped').map(([key]) => key);
    expect(skipped.sort()).toEqual(
      ['sweep[1]', 'sweep[1]#begin', 'sweep[1]#outputs', 'sweep[1].a', 'sweep[1].b'].sort(),
    );
    expect(run.read('steps.sweep.outputs')).toEqual([
      { v: 1, item: { lr: 1 } },
      { v: 3, item: { lr: 3 } },
    ]);
    expect(run.ends.get('all')).toBe('succeeded');
  });

  it('skips what is behind it, if it has no foreach', () => {
    const plan = compileYaml(
      wrap(`
  g:
    if: 1 > 2
    steps: { a: { run: x, outputs: { v: value } } }
    outputs: { v: steps.a.outputs.v }
    else: { other: { run: x } }
  c: { run: x, inputs: { v: steps.g.outputs.v } }
`),
    );
    const run = new PlanRunner(plan).run();
    expect(Object.fromEntries(run.ends)).toEqual({
      'g#begin': 'skipped',
      'g.a': 'skipped',
      'g#outputs': 'skipped',
      g: 'skipped',
      c: 'skipped',
      other: 'succeeded',
    });
  });
});

describe('at most so many sub-pipelines at once', () => {
  it('holds at every moment, whatever the order in which they end', () => {
    const text = wrap(`
  s:
    foreach: { i: "[0, 1, 2, 3, 4, 5, 6]" }
    parallel: 3
    steps: { a: { run: x }, b: { run: x, after: [a] } }
`);
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat()), (stream) => {
        const run = new PlanRunner(compileYaml(text), {}, ({ key }) => {
          const begun = new Set(run.order.map((one) => one.split(/[.#]/)[0] ?? ''));
          const open = [...begun].filter((one) => !run.ends.has(one));
          expect(open.length).toBeLessThanOrEqual(3);
          if (key === 's[2].a') throw new Error('boom');
          return {};
        });
        run.run((ready) => (stream.next().value ?? 0) % ready.length);
        expect(run.queue.done).toBe(true);
        expect(run.order.filter((key) => key.endsWith('.b'))).toHaveLength(6);
      }),
      { numRuns: 50 },
    );
  });
});

describe('foreach inside foreach', () => {
  const DEEP = wrap(
    `
  l1:
    foreach: { a: params.list }
    steps:
      l2:
        foreach: { b: params.list }
        steps:
          l3:
            foreach: { c: params.list }
            steps:
              l4:
                foreach: { d: params.list }
                run: x
                outputs: { v: value }
              top: { uses: builtin/best, inputs: { runs: steps.l4.outputs }, with: { by: v } }
            outputs: { v: steps.top.outputs.v }
          top: { uses: builtin/best, inputs: { runs: steps.l3.outputs }, with: { by: v } }
        outputs: { v: steps.top.outputs.v, got: steps.top.outputs.item }
      top: { uses: builtin/best, inputs: { runs: steps.l2.outputs }, with: { by: v } }
    outputs: { v: steps.top.outputs.v, got: steps.top.outputs.got }
`,
    'params: { list: [1, 2, 3] }\n',
  );

  it('runs four deep: every combination, and what is best of each comes up', () => {
    const seen = new Set<string>();
    const run = new PlanRunner(compileYaml(DEEP), {}, ({ scope }) => {
      const { a, b, c, d } = scope['item'] as Record<string, number>;
      const digits = [a, b, c, d].join('');
      expect(seen.has(digits)).toBe(false);
      seen.add(digits);
      return value(Number(digits));
    }).run();
    expect(seen.size).toBe(81);
    expect(run.rows.has('l1[2].l2[0].l3[1].l4[2]')).toBe(true);
    expect(run.read('steps.l1.outputs')).toEqual([
      { v: 1333, got: { a: 1, b: 3, c: 3 }, item: { a: 1 } },
      { v: 2333, got: { a: 2, b: 3, c: 3 }, item: { a: 2 } },
      { v: 3333, got: { a: 3, b: 3, c: 3 }, item: { a: 3 } },
    ]);
    expect(run.queue.done).toBe(true);
  });

  it('takes lists of the item around, and of steps beside, that are known late', () => {
    const plan = compileYaml(
      wrap(
        `
  find: { run: x, outputs: { v: value } }
  outer:
    foreach: { part: steps.find.outputs.v }
    steps:
      split: { run: x, outputs: { v: value } }
      inner:
        foreach: { n: steps.split.outputs.v, k: item.part.ks }
        steps: { work: { run: x, outputs: { v: value } } }
        outputs: { v: steps.work.outputs.v }
      sum: { run: x, inputs: { all: steps.inner.outputs }, outputs: { v: value } }
    outputs: { v: steps.sum.outputs.v }
  end: { run: x, inputs: { all: steps.outer.outputs }, outputs: { v: value } }
`,
      ),
    );
    const run = new PlanRunner(plan, {}, ({ key, scope, inputs }) => {
      const item = scope['item'] as { part: { id: number }; n: number; k: number };
      const sum = (list: unknown): number =>
        (list as { v: number }[]).reduce((total, { v }) => total + v, 0);
      if (key === 'find')
        return value([
          { id: 10, ks: [1, 2] },
          { id: 20, ks: [3] },
        ]);
      if (key.endsWith('.split')) return value([item.part.id, item.part.id + 1]);
      if (key.endsWith('.work')) return value(item.n * item.k);
      return value(sum(inputs['all']));
    }).run();
    expect(run.rows.has('outer[1].inner[1].work')).toBe(true);
    // (10 + 11) × (1 + 2) and (20 + 21) × 3
    expect(run.read('steps.outer.outputs')).toMatchObject([{ v: 63 }, { v: 123 }]);
    expect(run.read('steps.end.outputs.v')).toBe(186);
    expect(run.queue.done).toBe(true);
  });

  it('ends a late list that is empty, and what reads it sees no item', () => {
    const plan = compileYaml(
      wrap(`
  find: { run: x, outputs: { v: value } }
  each:
    foreach: { i: steps.find.outputs.v }
    steps: { a: { run: x, outputs: { v: value } } }
    outputs: { v: steps.a.outputs.v }
  end: { run: x, inputs: { all: steps.each.outputs }, outputs: { v: value } }
`),
    );
    const run = new PlanRunner(plan, {}, ({ inputs }) => value(inputs['all'] ?? [])).run();
    expect(run.read('steps.end.outputs.v')).toEqual([]);
  });
});
