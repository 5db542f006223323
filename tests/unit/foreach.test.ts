import { expandGraph } from '../../dag/expand';
import { isAppError } from '../../errors/app-error';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { PlanRunner } from '../support/plan-runner';

const wrap = (steps: string): string =>
  `version: 1\nname: p\nparams: { lrs: [0.1, 0.2], seeds: [1, 2, 3], empty: [] }\nsteps:\n${steps}`;
function problemsOf(steps: string): string[] {
  try {
    compileYaml(wrap(steps));
    return [];
  } catch (error) {
    if (!isAppError(error) || error.code !== 'INVALID_PLAN') throw error;
    return error.problems.map(({ path, message }) => `${path} ${message}`);
  }
}

describe('a foreach over several lists', () => {
  const plan = compileYaml(
    wrap(
      '  t: { run: "x ${{ item.lr }} ${{ item.seed }}", foreach: { lr: params.lrs, seed: params.seeds } }\n',
    ),
  );

  it('runs every combination, the last variable changing fastest', () => {
    const { nodes } = expandGraph(plan, { lrs: [0.1, 0.2], seeds: [1, 2, 3] });
    expect(nodes.flatMap(({ item }) => item ?? [])).toEqual([
      { lr: 0.1, seed: 1 },
      { lr: 0.1, seed: 2 },
      { lr: 0.1, seed: 3 },
      { lr: 0.2, seed: 1 },
      { lr: 0.2, seed: 2 },
      { lr: 0.2, seed: 3 },
    ]);
    expect(nodes.map(({ key }) => key).slice(-2)).toEqual(['t[5]', 't']);
  });

  it('has no items if one list is empty', () => {
    expect(() => expandGraph(plan, { lrs: [], seeds: [1] })).toThrow(
      "The foreach of step 't' has no items: params.lrs × params.seeds is an empty list.",
    );
  });

  it('counts the combinations: at most 1,024, or what items_max says', () => {
    const list = (length: number) => Array.from({ length }, (_, i) => i);
    const run = (of: typeof plan, a: number, b: number) => () =>
      expandGraph(of, { lrs: list(a), seeds: list(b) }).nodes;
    expect(run(plan, 32, 32)()).toHaveLength(1_025);
    expect(run(plan, 25, 41)).toThrow('has 1025 items; at most 1024 are taken. Raise items_max');
    const more = compileYaml(
      wrap('  t: { run: x, foreach: { a: params.lrs, b: params.seeds }, items_max: 10000 }\n'),
    );
    expect(run(more, 100, 100)()).toHaveLength(10_001);
    expect(run(more, 100, 101)).toThrow('has 10100 items; at most 10000 are taken.');
    // refused before anything is multiplied out
    expect(run(more, 10_000, 10_000)).toThrow('has 100000000 items');
  });

  it('takes its rules from the step', () => {
    const ruled = compileYaml(
      wrap(
        '  t: { run: x, foreach: { a: params.lrs }, min_success: 0.9, stop_after: 3, parallel: 2 }\n',
      ),
    );
    expect(expandGraph(ruled, { lrs: [1] }).groups).toEqual({
      t: { parallel: 2, minSuccess: 0.9, stopAfter: 3 },
    });
  });

  it.each([
    ['  t: { run: x, foreach: {} }\n', 'steps.t.foreach must have from 1 to 10 variables.'],
    ['  t: { run: x, foreach: { "a b": params.lrs } }\n', 'must begin with a letter'],
    ['  t: { run: x, foreach: { a: params.lr } }\n', "Did you mean 'lrs'?"],
    ['  t: { run: "x ${{ item.lr }}", foreach: { lrr: params.lrs } }\n', "Did you mean 'lrr'?"],
    ['  t: { run: x, foreach: [1, 2] }\n', 'must be a mapping of names to texts'],
  ])('explains %s', (text, part) => {
    expect(problemsOf(text).join()).toContain(part);
  });
});

describe('a foreach over what an earlier step gives', () => {
  it('is one node until the list is there, then one per item', () => {
    const plan = compileYaml(
      wrap(`
  find: { run: x, outputs: { files: value } }
  each: { run: x, foreach: { file: steps.find.outputs.files, seed: params.seeds }, outputs: { v: value } }
`),
    );
    const { nodes } = expandGraph(plan, { seeds: [1, 2] });
    expect(nodes.map(({ key, kind }) => [key, kind])).toEqual([
      ['find', 'step'],
      ['each', 'expand'],
    ]);
    const run = new PlanRunner(plan, { seeds: [1, 2] }, ({ key, scope }) => {
      if (key === 'find') return { files: { value: ['a', 'b'] } };
      const { file, seed } = scope['item'] as { file: string; seed: number };
      return { v: { value: `${file}${seed}` } };
    }).run();
    const given = run.read('steps.each.outputs') as { readonly v: string }[];
    expect(given.map(({ v }) => v)).toEqual(['a1', 'a2', 'b1', 'b2']);
  });

  const trained = `
  train: { run: x, foreach: { seed: params.seeds }, outputs: { m: model, auc: value, loss: { metric: l } } }
`;
  it('knows the types of the outputs of a foreach', () => {
    const judge = `  judge:
    foreach: { run: steps.train.outputs }
    if: item.run.loss < 2
    inputs: { m: item.run.m }
    run: x \${{ inputs.m.path }} \${{ item.run.auc }} \${{ item.run.item }}
    outputs: { v: value }
`;
    expect(problemsOf(trained + judge)).toEqual([]);
    const run = new PlanRunner(compileYaml(wrap(trained + judge)), {}, ({ key, scope, inputs }) => {
      const item = scope['item'] as { seed: number };
      if (key.startsWith('judge')) return { v: { value: inputs as never } };
      const loss = { value: item.seed };
      return { m: { artifact: `m${item.seed}`, kind: 'model' }, auc: { value: 1 }, loss };
    }).run();
    expect(run.read('steps.judge.outputs')).toMatchObject([
      { v: { m: { artifact: 'm1', kind: 'model' } } },
    ]);
    expect(run.ends.get('judge[1]')).toBe('skipped');
  });

  // prettier-ignore
  it.each([
    ['if: item.run.los < 1', "there is no 'item.run.los'. Did you mean 'loss'?"],
    ['if: item.run.loss == "x"', 'compares a number with a string'],
    ['if: item.run.m == 1', 'a model artifact has no value that could be compared'],
    ['if: item.run.loss.x > 1', 'goes into a number, which has no such part'],
    ['env: { A: "${{ item.run.m }}" }', 'holds a model artifact: make it an input'],
  ])('explains %s', (key, part) => {
    const text = `${trained}  judge: { run: x, foreach: { run: steps.train.outputs }, ${key} }\n`;
    expect(problemsOf(text).join()).toContain(part);
  });
});
