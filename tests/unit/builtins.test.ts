import fc from 'fast-check';
import { bestOf } from '../../dag/builtins';
import { expandGraph } from '../../dag/expand';
import { resolveInputs, scopeFor } from '../../dag/scope';
import type { ScopeStep } from '../../schemas/graph';
import type { Outputs, Plan, StepSpec } from '../../schemas/plan';
import { compileYaml } from '../../sdk/pipeline-yaml';

const plan: Plan = compileYaml(`
version: 1
name: p
params: { seeds: [7, 8, 9] }
steps:
  train:
    foreach: { seed: params.seeds }
    parallel: 2
    run: "true"
    outputs: { model: model, auc: value }
  pick: { uses: builtin/best, inputs: { runs: steps.train.outputs }, with: { by: auc } }
  show: { run: "true", inputs: { model: steps.pick.outputs.model, all: steps.train.outputs } }
`);
const stepOf = ({ steps }: Plan, i: number) => steps[i] as StepSpec;
const params = { seeds: [7, 8, 9] };
const graph = expandGraph(plan, params);
const item = (i: number, outputs: Outputs | null): ScopeStep => ({
  step: 'train',
  isForeach: true,
  item: { seed: params.seeds[i] },
  outputs,
});
const trained = (artifact: string, auc: number) => ({
  model: { artifact, kind: 'model' },
  auc: { value: auc },
});

describe('builtin/best', () => {
  it('chooses as sorting would, the first of equals, without what is no number', () => {
    const scores = fc.array(fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constant(null)), {
      minLength: 1,
    });
    fc.assert(
      fc.property(scores, fc.constantFrom('max', 'min'), (given, mode) => {
        const runs = given.map((score, i) => ({ score, i, item: { seed: i } }));
        const numbers = given.filter((score) => score !== null);
        fc.pre(numbers.length > 0);
        const [worst = 0] = numbers.sort((a, b) => (mode === 'max' ? b - a : a - b));
        expect(bestOf(runs, { by: 'score', mode })['i']).toEqual({
          value: runs.findIndex(({ score }) => score === worst),
        });
      }),
    );
  });

  it('refuses a list without a number to compare', () => {
    expect(() => bestOf([], { by: 'auc', mode: 'max' })).toThrow('at least one item');
    expect(() => bestOf([{ auc: NaN }], { by: 'auc', mode: 'max' })).toThrow("under 'auc'");
  });
});

describe('the scope of a step', () => {
  it('gives a foreach as a list of the items that succeeded', () => {
    const earlier = [item(0, trained('a', 1)), item(1, null), item(2, trained('c', 3))];
    expect(scopeFor(params, undefined, earlier)).toEqual({
      params: { seeds: [7, 8, 9] },
      item: {},
      steps: {
        train: {
          outputs: [
            { model: { artifact: 'a', kind: 'model' }, auc: 1, item: { seed: 7 } },
            { model: { artifact: 'c', kind: 'model' }, auc: 3, item: { seed: 9 } },
          ],
        },
      },
    });
  });

  it('resolves inputs to values and references, through the outputs of best', () => {
    const items = [item(0, trained('a', 1)), item(1, trained('b', 2))];
    const runs = resolveInputs(stepOf(plan, 1), scopeFor(params, undefined, items));
    const pick = bestOf(runs['runs'], { by: 'auc', mode: 'max' });
    expect(pick).toEqual({ ...trained('b', 2), item: { value: { seed: 8 } } });
    const picked = { step: 'pick', isForeach: false, item: undefined, outputs: pick };
    const scope = scopeFor(params, undefined, [...items, picked]);
    expect(resolveInputs(stepOf(plan, 2), scope)).toMatchObject({
      model: { artifact: 'b', kind: 'model' },
      all: [{ auc: 1 }, { auc: 2 }],
    });
  });

  it('names the input whose source has no value', () => {
    const scope = scopeFor(params, undefined, []);
    expect(() => resolveInputs(stepOf(plan, 2), scope)).toThrow("input 'model'");
  });

  it('expands a foreach into a group, and everything behind it waits for all of its items', () => {
    expect(graph.nodes.map(({ key, needs, group }) => ({ key, needs, group }))).toEqual([
      ...[0, 1, 2].map((i) => ({ key: `train[${i}]`, needs: [], group: 'train' })),
      { key: 'train', needs: ['train[0]', 'train[1]', 'train[2]'], group: undefined },
      { key: 'pick', needs: ['train'], group: undefined },
      { key: 'show', needs: ['pick', 'train'], group: undefined },
    ]);
    expect(graph.groups).toEqual({ train: { parallel: 2, minSuccess: 1 } });
    expect(() => expandGraph(plan, { seeds: [] })).toThrow('no items');
    expect(() => expandGraph(plan, { seeds: Array(1_025).fill(1) })).toThrow('at most 1024');
  });
});
