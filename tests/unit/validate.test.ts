import { validatePlan } from '../../dag/validate';
import { plan, step } from '../support/plans';

const made = { model: { kind: 'model' as const }, auc: { value: true as const } };
const train = step('train', { foreach: { seed: '[1, 2]' }, outputs: made });
const one = step('one', { outputs: { ...made, loss: { metric: 'loss', pick: 'last' as const } } });
const argv = (text: string) => ({ argv: ['echo', text] });

function problemsOf(...steps: Parameters<typeof plan>[0]): string[] {
  const params = { lr: { type: 'number' as const }, names: { type: 'list' as const } };
  return validatePlan(plan(steps, params)).map(({ path, message }) => `${path} ${message}`);
}

describe('validatePlan', () => {
  it('finds nothing in a plan that is right', () => {
    const pick = step('pick', {
      uses: 'builtin/best',
      inputs: { runs: 'steps.train.outputs' },
      with: { by: 'auc', mode: 'min' },
    });
    const register = step('register', {
      uses: 'builtin/register-model',
      if: 'steps.pick.outputs.auc > params.lr and "a" in params.names',
      inputs: { model: 'steps.pick.outputs.model' },
      with: { name: 'm', alias: 'a' },
    });
    expect(problemsOf(train, one, pick, register)).toEqual([]);
    expect(problemsOf(one, step('b', { if: 'steps.one.outputs.loss * 2 < 1' }))).toEqual([]);
    expect(problemsOf(train, step('b', argv('${{ steps.train.outputs[0].auc }}')))).toEqual([]);
  });

  // prettier-ignore
  it.each<[string, string[], string]>([
    ['a condition that is no truth value', problemsOf(step('a', { if: 'params.lr' })), 'true or false, not a number'],
    ['a foreach over no list', problemsOf(step('a', { foreach: { x: 'params.lr' } })), 'must be a list, not a number'],
    ['a foreach over a number made earlier', problemsOf(one, step('a', { foreach: { x: 'steps.one.outputs.loss' } })), 'must be a list, not a number'],
    ['a cache for a built-in', problemsOf(step('a', { uses: 'builtin/nothing', cache: {} })), 'means nothing for a built-in'],
    ['secrets for a built-in', problemsOf(step('a', { uses: 'builtin/nothing', secrets: ['A'] })), 'means nothing for a built-in'],
    ['an artifact in a cache key', problemsOf(one, step('a', { cache: { values: ['steps.one.outputs.model'] } })), 'make it an input'],
    ['types that are never equal', problemsOf(step('a', { if: 'params.lr == "x"' })), 'compares a number with a string'],
    ['a sum of number and text', problemsOf(step('a', argv('${{ params.lr + "x" }}'))), 'a number on one side and a string'],
    ['a number where truth is needed', problemsOf(step('a', { if: 'not params.lr' })), "'!' needs a boolean"],
    ['an artifact in a comparison', problemsOf(one, step('a', { if: 'steps.one.outputs.model == 1' })), 'no value that could be compared'],
    ['an artifact inside text', problemsOf(one, step('a', argv('${{ steps.one.outputs.model }}'))), 'make it an input'],
    ['a part of an artifact', problemsOf(one, step('a', { inputs: { x: 'steps.one.outputs.model.size' } })), 'has no such part'],
    ['an output of a foreach', problemsOf(train, step('a', { inputs: { m: 'steps.train.outputs.model' } })), 'its outputs are a list'],
    ['a step without outputs behind it', problemsOf(one, step('a', { inputs: { m: 'steps.one.model' } })), "go on with '.outputs'"],
    ['item outside of a foreach', problemsOf(step('a', argv('${{ item.x }}'))), "no 'item.x'"],
    ['an input that is not there', problemsOf(step('a', argv('${{ inputs.x.path }}'))), "no 'inputs.x'"],
    ['inputs in a condition', problemsOf(one, step('a', { inputs: { x: 'steps.one.outputs.auc' }, if: 'inputs.x.path == "a"' })), 'cannot be read here'],
    ['a misspelt root', problemsOf(step('a', argv('${{ parms.lr }}'))), "Did you mean 'params'?"],
    ['a step that needs itself', problemsOf(step('a', { after: ['a'] })), 'a → a'],
    ['a name given twice', problemsOf(step('a'), step('a')), 'is there twice'],
    ['both argv and uses', problemsOf(step('a', { argv: ['x'], uses: './a.ts#b' })), 'exactly one'],
    ['a file outside of the project', problemsOf(step('a', { uses: '../a.ts#b' })), 'inside the project'],
    ['an output outside of the folder', problemsOf(step('a', { outputs: { m: { kind: 'model', path: '../m' } } })), 'not inside the working folder'],
    ['parallel alone', problemsOf(step('a', { parallel: 2 })), 'only beside foreach'],
    ['an endless timeout', problemsOf(step('a', { timeoutSeconds: 1e9 })), 'at most 30 days'],
    ['too many retries', problemsOf(step('a', { retry: { max: 1e6, on: [] } })), 'from 0 to 100'],
    ['a variable of Anneal', problemsOf(step('a', { env: { ANNEAL_STEP: 'x' } })), 'is set by Anneal'],
    ['an unknown built-in', problemsOf(step('a', { uses: 'builtin/bast' })), "Did you mean 'builtin/best'?"],
    ['best without a foreach', problemsOf(one, step('a', { uses: 'builtin/best', inputs: { runs: 'steps.one.outputs.auc' } })), "needs 'by'"],
    ['best of one step', problemsOf(one, step('a', { uses: 'builtin/best', inputs: { runs: 'steps.one.outputs.loss' }, with: { by: 'x' } })), 'outputs of a foreach step'],
    ['best by an artifact', problemsOf(train, step('a', { uses: 'builtin/best', inputs: { runs: 'steps.train.outputs' }, with: { by: 'model' } })), 'can be compared'],
    ['a dataset registered as a model', problemsOf(step('d', { outputs: { t: { kind: 'dataset' } } }), step('a', { uses: 'builtin/register-model', inputs: { model: 'steps.d.outputs.t' }, with: { name: 'm' } })), 'kind model, not a dataset artifact'],
    ['an unknown setting', problemsOf(one, step('a', { uses: 'builtin/register-model', inputs: { model: 'steps.one.outputs.model' }, with: { name: 'm', alais: 'x' } })), "Did you mean 'alias'?"],
  ])('explains %s', (_what, problems, part) => {
    expect(problems.join('\n')).toContain(part);
  });

  it('names the circle', () => {
    const circle = [
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'a'],
    ] as const;
    const steps = circle.map(([name, after]) => step(name, { after: [after] }));
    expect(problemsOf(...steps)).toEqual([
      'steps need each other in a circle: a → b → c → a; cut it once.',
    ]);
  });

  it('stops at 10,000 steps', () => {
    const steps = Array.from({ length: 10_001 }, (_, i) => step(`s${i}`));
    expect(problemsOf(...steps)).toEqual(['steps are 10001; at most 10000: join some of them.']);
    expect(problemsOf(...steps.slice(1))).toEqual([]);
  });
});
