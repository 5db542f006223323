import { expandGraph } from '../../dag/expand';
import { evaluate, parseExpression } from '../../dag/expressions';
import { isAppError } from '../../errors/app-error';
import type { Problem } from '../../errors/app-error';
import type { Outputs } from '../../schemas/plan';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { PlanRunner } from '../support/plan-runner';

const wrap = (steps: string, head = ''): string => `version: 1\nname: p\n${head}steps:\n${steps}`;
const value = (of: unknown): Outputs => ({ v: { value: of as never } });
function problemsOf(text: string): readonly Problem[] {
  try {
    compileYaml(text);
    return [];
  } catch (error) {
    if (isAppError(error) && error.code === 'INVALID_PLAN') return error.problems;
    throw error;
  }
}

describe('names inside a sub-pipeline', () => {
  it('mean the step beside first, then the one around', () => {
    const plan = compileYaml(
      wrap(`
  a: { run: x, outputs: { v: value } }
  b: { run: x, outputs: { v: value } }
  g:
    steps:
      a: { run: x, outputs: { v: value } }
      c: { run: x, inputs: { a: steps.a.outputs.v, b: steps.b.outputs.v }, outputs: { v: value } }
    outputs: { v: steps.c.outputs.v }
  d: { run: x, inputs: { a: steps.a.outputs.v, g: steps.g.outputs.v }, outputs: { v: value } }
`),
    );
    expect(plan.steps[2]?.needs).toEqual(['b']);
    const run = new PlanRunner(plan, {}, ({ key, inputs }) =>
      value(Object.keys(inputs).length === 0 ? key : inputs),
    ).run();
    expect(run.read('steps.g.outputs.v')).toEqual({ a: 'g.a', b: 'b' });
    expect(run.read('steps.d.outputs.v')).toEqual({ a: 'a', g: { a: 'g.a', b: 'b' } });
  });

  // prettier-ignore
  it.each<[what: string, steps: string, found: [path: string, part: string]]>([
    ['a step of another level', 'g: { steps: { a: { run: x, outputs: { v: value } } } }\n  b: { run: x, inputs: { v: steps.a.outputs.v } }', ['steps.b.inputs.v', "no 'steps.a'"]],
    ['an output that it does not give', 'g: { steps: { a: { run: x, outputs: { auc: value } } }, outputs: { auc: steps.a.outputs.auc } }\n  b: { run: x, inputs: { v: steps.g.outputs.acu } }', ['steps.b.inputs.v', "Did you mean 'auc'?"]],
    ['an output of no step', 'g: { steps: { a: { run: x } }, outputs: { v: steps.a.outputs.v } }', ['steps.g.outputs.v', "no output 'v'"]],
    ['a list as an output', 'g: { steps: { a: { run: x, foreach: { i: "[1]" }, outputs: { v: value } } }, outputs: { v: steps.a.outputs } }', ['steps.g.outputs.v', 'is the list of a foreach']],
    ['an item that is not around', 'g: { foreach: { i: "[1]" }, steps: { a: { run: "x ${{ item.j }}" } } }', ['steps.g.steps.a.run', "no 'item.j'"]],
    ['its own item in its list', 'g: { foreach: { i: item.i }, steps: { a: { run: x } } }', ['steps.g.foreach.i', "no 'item.i'"]],
    ['a circle inside', 'g: { steps: { a: { run: x, after: [b] }, b: { run: x, after: [a] } } }', ['steps.g.steps', 'a → b → a']],
    ['a circle through it', 'g: { steps: { a: { run: x, after: [c] } } }\n  c: { run: x, after: [g] }', ['steps', 'g → c → g']],
    ['a step that waits for what it is part of', 'g: { steps: { a: { run: x, after: [g] } } }', ['steps', 'g → g']],
    ['no step inside', 'g: { steps: {} }', ['steps.g.steps', 'hold no step']],
    ['keys of a process beside steps', 'g: { pool: gpu, steps: { a: { run: x } } }', ['steps.g.pool', "'pool' is not known here"]],
    ['with beside steps', 'g: { with: { a: 1 }, steps: { a: { run: x } } }', ['steps.g.with', 'params of another file']],
    ['a misspelt key inside', 'g: { steps: { a: { run: x, tiemout: 1s } } }', ['steps.g.steps.a.tiemout', "Did you mean 'timeout'?"]],
    ['a bad number inside', 'g: { steps: { a: { run: x, priority: 101 } } }', ['steps.g.steps.a.priority', 'from -100 to 100']],
    ['parallel without foreach', 'g: { parallel: 2, steps: { a: { run: x } } }', ['steps.g.parallel', 'only beside foreach']],
    ['an else without if', 'a: { run: x, else: { b: { run: x } } }', ['steps.a.else', "beside no 'if'"]],
    ['a mistake in an else', 'a: { run: x, if: 1 < 2, else: { b: { run: x, retry: { max: 101 } } } }', ['steps.a.else.b.retry.max', 'from 0 to 100']],
    ['a name that an else gives twice', 'a: { run: x, if: 1 < 2, else: { b: { run: x } } }\n  b: { run: x }', ['steps.a.else.b', 'is there twice']],
    ['a bad condition, once', 'a: { run: x, if: "1 <", else: { b: { run: x } } }', ['steps.a.if', 'column 4']],
  ])('explains %s', (_what, steps, [path, part]) => {
    const problems = problemsOf(wrap(`  ${steps}\n`));
    expect(problems.map((problem) => problem.path)).toEqual([path]);
    expect(problems[0]?.message).toContain(part);
    expect(problems[0]?.line).toBeGreaterThanOrEqual(3); // a circle: where the steps begin
  });

  it('may not stand inside each other without an end', () => {
    const nest = (depth: number): string =>
      depth === 0 ? '{ a: { run: x } }' : `{ g: { steps: ${nest(depth - 1)} } }`;
    const text = (depth: number): string => `version: 1\nname: p\nsteps: ${nest(depth)}\n`;
    expect(problemsOf(text(8))).toEqual([]);
    const [problem] = problemsOf(text(9));
    expect(problem?.message).toBe('stands inside 8 others: that is the most.');
    expect(problemsOf(text(40))).not.toEqual([]);
  });

  it('makes no more nodes than a run may have', () => {
    const plan = compileYaml(
      wrap(
        `
  g:
    foreach: { i: params.list }
    steps:
      h: { foreach: { j: params.list }, steps: { a: { foreach: { k: params.list }, run: x } } }
`,
        'params: { list: [] }\n',
      ),
    );
    const list = Array.from({ length: 1_000 }, (_, i) => i);
    const expand = (length: number) => expandGraph(plan, { list: list.slice(0, length) });
    expect(expand(21).nodes.filter(({ kind }) => kind === 'step')).toHaveLength(21 ** 3);
    expect(() => expand(22)).toThrow('more than 10000 steps');
    expect(() => expand(1_000)).toThrow('more than 10000 steps');
  });
});

describe('else', () => {
  it('runs exactly one of the two, and may have conditions of its own', () => {
    const plan = compileYaml(
      wrap(
        `
  a:
    run: x
    if: params.n > 5
    else:
      b:
        run: x
        if: params.n > 2
        else: { c: { run: x } }
`,
        'params: { n: 0 }\n',
      ),
    );
    const conditions = plan.steps.map((step) => step.if ?? '');
    expect(conditions).toEqual([
      'params.n > 5',
      '!(params.n > 5) && params.n > 2',
      '!(params.n > 5) && !(params.n > 2)',
    ]);
    for (const n of [0, 3, 6]) {
      const held = conditions.filter((text) => evaluate(parseExpression(text), { params: { n } }));
      expect(held).toHaveLength(1);
      expect(held[0]).toBe(conditions[n === 6 ? 0 : n === 3 ? 1 : 2]);
    }
  });
});
