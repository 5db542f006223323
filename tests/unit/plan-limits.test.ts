import { expandGraph } from '../../dag/expand';
import { resolveParams } from '../../dag/params';
import { isAppError } from '../../errors/app-error';
import type { Problem } from '../../errors/app-error';
import { preparePlan } from '../../pipelines/plans';
import { PLAN_LIMITS } from '../../schemas/plan';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { plan, step } from '../support/plans';

const HEAD = 'version: 1\nname: p\n';
function problemsOf(run: () => unknown): readonly Problem[] {
  try {
    run();
    return [];
  } catch (error) {
    if (!isAppError(error)) throw error;
    return error.problems.length > 0 ? error.problems : [{ path: '', message: error.message }];
  }
}
const messages = (run: () => unknown): string[] => problemsOf(run).map(({ message }) => message);
const numbers = (length: number): number[] => Array.from({ length }, (_, i) => i);

describe('the limits of a plan', () => {
  it('are 10,000 steps, with those inside others and the handlers', () => {
    const inner = (count: number): string =>
      numbers(count)
        .map((i) => `      t${i}: { run: x }\n`)
        .join('');
    const text = (count: number): string =>
      `${HEAD}steps:\n  g:\n    steps:\n${inner(count)}always: [{ run: x }]\n`;
    expect(messages(() => compileYaml(text(9_998)))).toEqual([]);
    expect(messages(() => compileYaml(text(9_999)))).toEqual([
      'are 10001; at most 10000: join some of them.',
    ]);
  });

  it('are seen before anything of what is far too large is looked at', () => {
    const given = (steps: unknown[]) => ({ version: 1, name: 'p', params: {}, steps });
    const prepare = (steps: unknown[]) => () => preparePlan({ plan: given(steps), params: {} });
    const many = Array<unknown>(10_001).fill({});
    const alone = 'are 10001; at most 10000: join some of them.';
    expect(messages(prepare(many))).toEqual([alone]);
    expect(messages(prepare([{ name: 'g', steps: many.slice(1) }]))).toEqual([alone]);
    expect(messages(prepare(many.slice(1))).length).toBeGreaterThan(1);
  });

  it('are 10,000 nodes of a run, joins not counted', () => {
    const each = step('each', { foreach: { i: 'params.list' }, itemsMax: 10_000 });
    const list = { type: 'list' as const };
    const many = plan([each], { list });
    expect(expandGraph(many, { list: numbers(10_000) }).nodes).toHaveLength(10_001);
    const more = plan([each, step('more')], { list });
    expect(() => expandGraph(more, { list: numbers(10_000) })).toThrow('more than 10000 steps');
  });

  it('are 2 MiB of text', () => {
    const text = (bytes: number): string => {
      const start = `${HEAD}steps: { a: { run: x } } #`;
      return start + 'x'.repeat(bytes - start.length);
    };
    expect(messages(() => compileYaml(text(PLAN_LIMITS.planBytesMax)))).toEqual([]);
    expect(messages(() => compileYaml(text(PLAN_LIMITS.planBytesMax + 1)))).toEqual([
      'The pipeline is larger than 2 MiB.',
    ]);
  });

  it('are 2 MiB of plan, told before it is sent', () => {
    const env = `{ A: ${'x'.repeat(100_000)} }`;
    const text = (count: number): string =>
      `${HEAD}defaults: { env: ${env} }\nsteps: { ${numbers(count)
        .map((i) => `s${i}: { run: x }`)
        .join(', ')} }\n`;
    const small = compileYaml(text(20));
    expect(messages(() => preparePlan({ plan: small, params: {} }))).toEqual([]);
    expect(messages(() => compileYaml(text(21)))).toEqual([
      expect.stringMatching(/^make a plan of 21\d{5} bytes, above 2 MiB/),
    ]);
  });

  it('are 64 KiB of params', () => {
    const one = plan([step('a')], { text: { type: 'string', default: '' } });
    const bytes = '{"text":""}'.length;
    const text = (size: number) => ({ text: 'x'.repeat(size - bytes) });
    expect(messages(() => resolveParams(one, text(65_536)))).toEqual([]);
    expect(messages(() => resolveParams(one, text(65_537)))).toEqual([
      'are larger than 64 KiB; pass a file instead.',
    ]);
  });

  it('are 32 levels of values', () => {
    const nest = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    const text = (depth: number): string =>
      `${HEAD}steps: { a: { uses: ./a.ts#b, with: { x: ${nest(depth)} } } }\n`;
    expect(messages(() => compileYaml(text(29)))).toEqual([]);
    expect(messages(() => compileYaml(text(30)))).toEqual(['is nested deeper than 32 levels.']);
    expect(messages(() => compileYaml(text(100_000)))).toEqual(['is nested too deeply.']);
  });

  it('are 8 sub-pipelines inside each other, also for a plan that no compiler made', () => {
    const nest = (depth: number): object =>
      depth === 0 ? step('a') : { name: 'g', needs: [], steps: [nest(depth - 1)] };
    const given = (depth: number) => ({ ...plan([]), steps: [nest(depth)] });
    expect(messages(() => preparePlan({ plan: given(8), params: {} }))).toEqual([]);
    expect(messages(() => preparePlan({ plan: given(9), params: {} }))).toEqual([
      'stands inside too many sub-pipelines.',
    ]);
    let deep: object = step('a');
    for (let i = 0; i < 100_000; i += 1) deep = { name: 'g', needs: [], steps: [deep] };
    const steps = [deep];
    expect(messages(() => preparePlan({ plan: { ...plan([]), steps }, params: {} }))).toEqual([
      'stands inside too many sub-pipelines.',
    ]);
  });
});

describe('a plan that no compiler made', () => {
  it('is told where it is wrong, also inside a sub-pipeline', () => {
    const inner = { ...step('b'), pool: 1, colour: 'red' };
    const given = {
      ...plan([step('c', { after: ['g'] })]),
      always: [{ ...step('d'), needs: ['c'] }],
    };
    const composite = { name: 'g', needs: [], steps: [inner] };
    const wrong = () => preparePlan({ plan: { ...given, steps: [composite] }, params: {} });
    expect(problemsOf(wrong).map(({ path }) => path)).toEqual([
      'steps.0.steps.0.pool',
      'steps.0.steps.0',
    ]);
    const untrue = {
      ...composite,
      needs: ['c'],
      steps: [{ ...step('b'), after: ['c'], needs: [] }],
    };
    const lying = () => preparePlan({ plan: { ...given, steps: [step('c'), untrue] }, params: {} });
    expect(problemsOf(lying)).toEqual([
      {
        path: 'steps.g.steps.b.needs',
        message: "must be [c], as its expressions and 'after' say.",
      },
      { path: 'always[0].needs', message: "must be [], as its expressions and 'after' say." },
    ]);
  });
});

describe('thousands of mistakes', () => {
  it('come all at once, each with its line', () => {
    const lines = numbers(2_000).map((i) => `  s${i}: { run: x, tiemout: 1s }\n`);
    const problems = problemsOf(() => compileYaml(`${HEAD}steps:\n${lines.join('')}`));
    expect(problems).toHaveLength(2_000);
    expect(problems.at(-1)).toMatchObject({
      path: 'steps.s1999.tiemout',
      line: 2_003,
      column: 20,
    });
  });

  it('have hints only at first: each looks at all names', () => {
    const steps = numbers(5_000).map((i) => `  s${i}: { run: x, after: [t${i}] }\n`);
    const problems = problemsOf(() => compileYaml(`${HEAD}steps:\n${steps.join('')}`));
    expect(problems).toHaveLength(5_000);
    const hinted = problems.filter(({ message }) => message.includes('Did you mean'));
    expect(hinted).toEqual(problems.slice(0, 100));
  });
});
