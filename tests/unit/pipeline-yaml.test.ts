import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expandGraph } from '../../dag/expand';
import { resolveParams } from '../../dag/params';
import { runToArgv } from '../../dag/command-line';
import { renderText, renderValue } from '../../dag/template';
import { isAppError } from '../../errors/app-error';
import type { Problem } from '../../errors/app-error';
import { compileYaml } from '../../sdk/pipeline-yaml';

function problemsOf(text: string): readonly Problem[] {
  try {
    compileYaml(text);
    return [];
  } catch (error) {
    if (isAppError(error) && error.code === 'INVALID_PLAN') return error.problems;
    throw error;
  }
}
const wrap = (steps: string, head = ''): string => `version: 1\nname: p\n${head}steps:\n${steps}`;

describe('pipelines in YAML', () => {
  const digits = readFileSync(join(__dirname, '../../examples/01-digits/pipeline.yaml'), 'utf8');

  it('compiles the digits example and finds what each step needs', () => {
    const plan = compileYaml(digits);
    expect(Object.fromEntries(plan.steps.map((step) => [step.name, step.needs]))).toEqual({
      prepare: [],
      train: ['prepare'],
      pick: ['train'],
      evaluate: ['pick', 'prepare'],
      register: ['evaluate', 'pick'],
    });
    const keys = expandGraph(plan, resolveParams(plan, {})).nodes.map((n) => n.key);
    expect(keys).toEqual([
      'prepare',
      'train[0]',
      'train[1]',
      'train[2]',
      'train', // the join
      'pick',
      'evaluate',
      'register',
    ]);
  });

  it('gives the same plan for another order of keys', () => {
    const a = compileYaml(wrap('  a: { run: "true", pool: gpu }\n'));
    const b = compileYaml(wrap('  a: { pool: gpu, run: "true" }\n'));
    expect(a).toEqual(b);
  });

  it('lists all problems at once with line and column', () => {
    const text = wrap(
      '  a: { run: "true", tiemout: 3s }\n  b:\n    run: "true"\n    cache: { ttl: 7d }\n',
    );
    expect(problemsOf(text)).toEqual([
      {
        path: 'steps.a.tiemout',
        line: 4,
        column: 21,
        message: "'tiemout' is not known here. Did you mean 'timeout'?",
      },
      {
        path: 'steps.b.cache',
        line: 7,
        column: 5,
        message: "'cache' is not available in this version: leave it out.",
      },
    ]);
  });

  it.each<[string, string, string]>([
    ['a circle', wrap('  a: { run: x, after: [b] }\n  b: { run: x, after: [a] }\n'), 'circle'],
    [
      'an unknown step',
      wrap('  a: { run: x, after: [bb] }\n  bb2: { run: x }\n'),
      "names no step 'bb'",
    ],
    ['an unknown param', wrap('  a: { run: "x ${{ params.q }}" }\n'), "no 'params.q'"],
    [
      'an unknown output',
      wrap('  a: { run: x }\n  b: { run: x, inputs: { m: steps.a.outputs.m } }\n'),
      "no output 'm'",
    ],
    ['neither run nor uses', wrap('  a: { pool: cpu }\n'), 'exactly one of'],
    ['a bad duration', wrap('  a: { run: x, timeout: soon }\n'), 'must be a duration'],
    ['a bad name', wrap('  A b: { run: x }\n'), 'must begin with a small letter'],
    ['a bad expression', wrap('  a: { run: x, if: "1 +" }\n'), 'column 4'],
    ['a wrong version', 'version: 2\nname: p\nsteps: { a: { run: x } }\n', 'must be 1'],
    ['no steps', 'version: 1\nname: p\n', 'is missing'],
    ['broken YAML', 'version: [1\n', 'Flow sequence'],
    ['a key given twice', wrap('  a: { run: x }\n  a: { run: y }\n'), 'twice'],
    ['an alias', 'version: 1\nname: p\nsteps: { a: &x { run: y }, b: *x }\n', 'alias'],
    [
      'a default of the wrong type',
      wrap('  a: { run: x }\n', 'params: { n: { type: number, default: x } }\n'),
      'must be a number',
    ],
  ])('explains %s', (_what, text, part) => {
    expect(
      problemsOf(text)
        .map((p) => p.message)
        .join('\n'),
    ).toContain(part);
  });

  it('checks the params of a run: names, types, ranges, missing ones', () => {
    const plan = compileYaml(
      wrap('  a: { run: x }\n', 'params: { lr: 0.1, top: { type: number, max: 1 } }\n'),
    );
    expect(resolveParams(plan, { top: 1 })).toEqual({ lr: 0.1, top: 1 });
    expect(() => resolveParams(plan, {})).toThrow('params.top has no default');
    expect(() => resolveParams(plan, { top: 2 })).toThrow('at most 1');
    expect(() => resolveParams(plan, { top: 1, lr: '0.1' })).toThrow('must be a number');
    expect(() => resolveParams(plan, { top: 1, lrr: 1 })).toThrow("Did you mean 'lr'?");
  });
});

describe('templates', () => {
  it('splits a plain line into arguments, quotes and expressions kept whole', () => {
    expect(runToArgv('python t.py --name "a b" --lr ${{ params.lr }}')).toEqual([
      'python',
      't.py',
      '--name',
      'a b',
      '--lr',
      '${{ params.lr }}',
    ]);
  });

  it('gives values to a shell as parameters, never as code', () => {
    const argv = runToArgv('echo ${{ params.x }} | wc -c');
    expect(argv).toEqual(['sh', '-ec', 'echo "${1}" | wc -c', 'sh', '${{ params.x }}']);
    expect(renderText(argv[4] ?? '', { params: { x: '$(reboot)' } })).toBe('$(reboot)');
  });

  it('keeps the type of a value that stands alone', () => {
    const scope = { params: { n: 3, l: [1] } };
    const given = { a: '${{ params.n }}', b: 'n=${{ params.n }}', c: ['${{ params.l }}'] };
    expect(renderValue(given, scope)).toEqual({ a: 3, b: 'n=3', c: [[1]] });
  });
});
