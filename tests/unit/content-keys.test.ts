import fc from 'fast-check';
import { withFollowers } from '../../dag/followers';
import { contentOf, explainDifference, keyOf, type Content } from '../../pipelines/content-keys';
import { renderWith } from '../../pipelines/step-scope';
import type { Params, StepSpec } from '../../schemas/plan';
import { plan, step } from '../support/plans';

const train = step('train', {
  argv: ['train', '--lr', '${{ params.lr }}', '${{ inputs.table.path }}'],
  inputs: { table: 'steps.prepare.outputs.table', rows: 'steps.prepare.outputs.rows' },
  outputs: { auc: { value: true } },
  env: { FOLD: '${{ item.fold }}' },
  if: 'params.wanted',
  needs: ['prepare'],
});
interface Given {
  readonly spec?: Partial<StepSpec>;
  readonly params?: Params;
  readonly codeDigest?: string | null;
  readonly table?: string;
  readonly rows?: number;
  readonly fold?: number;
}
function content(given: Given = {}): Content {
  const { params = {}, codeDigest = 'c1', table = 'a1', rows = 3, fold = 0 } = given;
  const spec = { ...train, ...given.spec };
  const outputs = { table: { artifact: table, kind: 'dataset' }, rows: { value: rows } };
  const earlier = [{ step: 'prepare', isForeach: false, item: undefined, outputs }];
  const all = { lr: 0.1, wanted: true, other: 1, ...params };
  const item = { fold };
  return contentOf(
    { spec, item },
    renderWith({ codeDigest, params: all }, { spec, item }, earlier),
  );
}

describe('the content of a step', () => {
  const key = content().key;

  it('is the same for the same, and 64 hex digits', () => {
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(content().key).toBe(key);
  });

  it.each<[string, Given, string]>([
    ['code', { codeDigest: 'c2' }, 'code changed'],
    ['no code', { codeDigest: null }, 'code changed'],
    ['a param that it names', { params: { lr: 0.2 } }, 'param lr: 0.1 → 0.2, command changed'],
    ['an input artifact', { table: 'a2' }, '"a1"'],
    ['an input value', { rows: 4 }, 'input rows: 3 → 4'],
    ['the item', { fold: 1 }, 'item fold: 0 → 1, env FOLD: "0" → "1"'],
    ['the command', { spec: { argv: ['other'] } }, 'command changed'],
    ['the environment', { spec: { env: {} } }, 'env FOLD is gone'],
    ['a setting', { spec: { with: { x: 1 } } }, 'with x is new'],
    ['the declared outputs', { spec: { outputs: {} } }, 'outputs changed'],
  ])('depends on %s', (_, given, words) => {
    const other = content(given);
    expect(other.key).not.toBe(key);
    expect(explainDifference(content().parts, other.parts)).toContain(words);
  });

  it.each<[string, Given]>([
    ['params that it does not name', { params: { other: 2 } }],
    ['a param that only its condition names', { params: { wanted: false } }],
    ['timeouts', { spec: { timeoutSeconds: 1 } }],
    ['how often it is tried', { spec: { retry: { max: 9, on: [] } } }],
  ])('does not depend on %s', (_, given) => {
    expect(content(given).key).toBe(key);
  });

  it('depends on all params when the command reads their file', () => {
    const spec = { argv: ['sh', '-c', 'cat $ANNEAL_PARAMS_FILE'] };
    const other = content({ spec, params: { other: 2 } });
    expect(explainDifference(content({ spec }).parts, other.parts)).toBe('param other: 1 → 2');
  });

  it('depends on which items of a foreach an input is made of', () => {
    const spec = step('all', { inputs: { all: 'steps.fit.outputs' }, needs: ['fit'] });
    const trained = (fold: number, isThere: boolean) => ({
      step: 'fit',
      isForeach: true,
      item: { fold: 7 }, // the same item at several positions
      outputs: isThere ? { auc: { value: 1 } } : null,
    });
    const run = { codeDigest: null, params: {} };
    const of = (there: boolean[]): string =>
      contentOf(
        { spec, item: undefined },
        renderWith(
          run,
          { spec, item: undefined },
          there.map((is, i) => trained(i, is)),
        ),
      ).key;
    expect(of([true, false])).not.toBe(of([false, true]));
  });

  it('names at most five differences', () => {
    const before = Object.fromEntries('abcdefg'.split('').map((name) => [`param.${name}`, '1']));
    const words = explainDifference(before, {});
    expect(words).toMatch(/^param a is gone, .* param e is gone and 2 more$/);
  });
});

describe('the key of parts', () => {
  const parts = fc.dictionary(fc.string(), fc.string(), { minKeys: 1, maxKeys: 8 });

  it('does not depend on their order', () => {
    fc.assert(
      fc.property(parts, (given) => {
        const reversed = Object.fromEntries(Object.entries(given).toReversed());
        expect(keyOf(reversed)).toBe(keyOf(given));
      }),
    );
  });

  it('changes with every change of a part, which is then named', () => {
    fc.assert(
      fc.property(parts, fc.nat(), fc.string(), (given, i, text) => {
        const names = Object.keys(given);
        const name = names[i % names.length] ?? '';
        fc.pre(given[name] !== text);
        const changed = { ...given, [name]: text };
        expect(keyOf(changed)).not.toBe(keyOf(given));
        expect(explainDifference(given, changed)).toContain(name.replace('.', ' '));
        const less = Object.fromEntries(Object.entries(given).filter(([one]) => one !== name));
        expect(keyOf(less)).not.toBe(keyOf(given));
      }),
    );
  });
});

describe('the followers of a step', () => {
  it('are all that depend on it, directly or not', () => {
    const steps = [
      step('d', { after: ['b', 'c'] }),
      step('a'),
      step('b', { after: ['a'] }),
      step('c'),
    ];
    expect(withFollowers(plan(steps), 'a').sort()).toEqual(['a', 'b', 'd']);
    expect(withFollowers(plan(steps), 'd')).toEqual(['d']);
  });
});
