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
      'train',
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
      '  a: { run: "true", tiemout: 3s }\n  b:\n    run: "true"\n    image: python\n',
    );
    expect(problemsOf(text)).toEqual([
      {
        path: 'steps.a.tiemout',
        line: 4,
        column: 21,
        message: "'tiemout' is not known here. Did you mean 'timeout'?",
      },
      {
        path: 'steps.b.image',
        line: 7,
        column: 5,
        message: "'image' is not available in this version: leave it out.",
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
    [
      'a word inside a list',
      wrap('  a: { run: x, retry: { on: [[oom]] } }\n'),
      'must be a list of',
    ],
    [
      'an endless list',
      `version: 1\nname: p\nsteps: [${'1,'.repeat(200_000)}]`,
      'must be a mapping',
    ],
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

  it('reads what a step sets; what is left out or equals the default is not in the plan', () => {
    const [full, bare, defaulted] = compileYaml(
      wrap(
        `  full:
    run: x
    foreach: { a: params.list }
    parallel: 3
    items_max: 5000
    min_success: 0.9
    stop_after: 4
    retry: { max: 3, on: [oom], delay: 10s, backoff: 1.5, max_delay: 10m }
    timeout: 1h
    total_timeout: 1d
    deadline: 2h
    priority: -5
    secrets: [HF_TOKEN]
    heartbeat: { timeout: 10m, from: [status, logs] }
    cache: { ttl: 7d, key: ["src/prep/**", params.list, ./params.md] }
  bare: { run: x, retry: { delay: 1s, backoff: 2, max_delay: 1m }, priority: 0, cache: false }
  defaulted: { run: x, foreach: { a: params.list }, items_max: 1024, min_success: 1, cache: true, heartbeat: {} }
`,
        'params: { list: [1] }\n',
      ),
    ).steps;
    expect(full).toEqual({
      name: 'full',
      argv: ['x'],
      foreach: { a: 'params.list' },
      parallel: 3,
      itemsMax: 5_000,
      minSuccess: 0.9,
      stopAfter: 4,
      needs: [],
      pool: 'cpu',
      timeoutSeconds: 3_600,
      totalTimeoutSeconds: 86_400,
      deadlineSeconds: 7_200,
      retry: { max: 3, on: ['oom'], delaySeconds: 10, factor: 1.5, maxDelaySeconds: 600 },
      priority: -5,
      secrets: ['HF_TOKEN'],
      heartbeat: { timeoutSeconds: 600, from: ['logs', 'status'] },
      cache: {
        ttlSeconds: 604_800,
        files: ['src/prep/**', './params.md'],
        values: ['params.list'],
      },
    });
    const usual = { pool: 'cpu', timeoutSeconds: 86_400, needs: [], argv: ['x'] };
    const retry = { max: 2, on: ['crash', 'oom', 'timeout'] };
    expect(bare).toEqual({ name: 'bare', ...usual, retry });
    expect(defaulted).toEqual({
      name: 'defaulted',
      ...usual,
      retry,
      foreach: { a: 'params.list' },
      cache: {},
      heartbeat: { timeoutSeconds: 300, from: ['logs', 'metrics', 'status'] },
    });
  });

  it('takes defaults for every step; entries of env, retry and heartbeat are merged', () => {
    const [a, b, c] = compileYaml(
      wrap(
        `  a: { run: x, retry: { max: 0 }, env: { B: 3 }, heartbeat: { from: [logs] }, cache: false }
  b: { run: x, foreach: { i: "[1]" }, stop_after: 3, secrets: [] }
  c: { uses: builtin/nothing }
`,
        `defaults: { retry: { max: 4, delay: 5s }, env: { A: 1, B: 2 }, secrets: [S], total_timeout: 2d,
  heartbeat: { timeout: 1m }, cache: { ttl: 1d }, priority: 2, min_success: 0.5, stop_after: 9 }
`,
      ),
    ).steps;
    expect(a).toMatchObject({
      retry: { max: 0, delaySeconds: 5 },
      env: { A: '1', B: '3' },
      secrets: ['S'],
      heartbeat: { timeoutSeconds: 60, from: ['logs'] },
      totalTimeoutSeconds: 172_800,
      priority: 2,
    });
    expect(a).not.toHaveProperty('cache');
    expect(a).not.toHaveProperty('minSuccess');
    expect(b).toMatchObject({ minSuccess: 0.5, stopAfter: 3, secrets: [], cache: {} });
    for (const key of ['secrets', 'heartbeat', 'cache', 'minSuccess']) {
      expect(c).not.toHaveProperty(key);
    }
  });

  it.each<[string, string, string]>([
    ['retry: { dealy: 1s }', 'retry.dealy', "Did you mean 'delay'?"],
    ['retry: { on: [omm] }', 'retry.on', "Did you mean 'oom'?"],
    ['retry: { delay: soon }', 'retry.delay', 'must be a duration'],
    ['retry: { delay: 2d }', 'retry.delay', 'at most one day'],
    ['retry: { backoff: 11 }', 'retry.backoff', 'from 1 to 10'],
    ['retry: { backoff: "2" }', 'retry.backoff', 'must be a number'],
    ['retry: { delay: 1m, max_delay: 1s }', 'retry.max_delay', 'shorter than the delay'],
    ['total_timeout: 0s', 'total_timeout', 'longer than 0'],
    ['deadline: 0s', 'deadline', 'longer than 0'],
    ['deadline: soon', 'deadline', 'must be a duration'],
    ['total_timeot: 1h', 'total_timeot', "Did you mean 'total_timeout'?"],
    ['min_success: 2, foreach: { i: "[1]" }', 'min_success', 'from 0 to 1'],
    ['min_success: 0.5', 'min_success', 'only beside foreach'],
    ['stop_after: 0, foreach: { i: "[1]" }', 'stop_after', 'at least 1'],
    ['stop_after: 2', 'stop_after', 'only beside foreach'],
    ['items_max: 10001, foreach: { i: "[1]" }', 'items_max', 'from 1 to 10000'],
    ['items_max: 5', 'items_max', 'only beside foreach'],
    ['priority: 101', 'priority', 'from -100 to 100'],
    ['priority: 0.5', 'priority', 'must be a whole number'],
    ['priorty: 5', 'priorty', "Did you mean 'priority'?"],
    ['adopt: never', 'adopt', 'must be auto, new or off'],
    ['mlflow: { inject_run_id: yes please }', 'mlflow.inject_run_id', 'must be true or false'],
    ['mlflow: { inject_run: true }', 'mlflow.inject_run', "Did you mean 'inject_run_id'?"],
    ['adopt: off, mlflow: { inject_run_id: true }', 'mlflow.inject_run_id', 'has no run to name'],
    ['adopt: off, outputs: { auc: { metric: auc } }', 'outputs.auc', "none with 'adopt: off'"],
    ['secrets: HF', 'secrets', 'must be a list of names'],
    ['secrets: [HF-TOKEN]', 'secrets[0]', 'no name of an environment variable'],
    ['secrets: [A, A]', 'secrets[1]', 'is there twice'],
    ['secrets: [A], env: { A: x }', 'secrets[0]', 'stands in env, too'],
    ['secrets: [ANNEAL_X]', 'secrets[0]', 'set by Anneal'],
    ['heartbeat: 5m', 'heartbeat', 'must be a mapping with timeout, from'],
    ['heartbeat: { from: [log] }', 'heartbeat.from', "Did you mean 'logs'?"],
    ['heartbeat: { from: [] }', 'heartbeat.from', 'is empty'],
    ['heartbeat: { timeout: 0s }', 'heartbeat.timeout', 'longer than 0'],
    ['heartbeat: { timeuot: 5m }', 'heartbeat.timeuot', "Did you mean 'timeout'?"],
    ['cache: yes', 'cache', 'must be true, false or a mapping'],
    ['cache: { tll: 7d }', 'cache.tll', "Did you mean 'ttl'?"],
    ['cache: { key: [../x] }', 'cache.key', 'no glob inside the project'],
    ['cache: { key: [params.lrr] }', 'cache.key', "Did you mean 'lr'?"],
    ['matrix: { a: 1 }', 'matrix', "write it as 'foreach'"],
  ])('explains %s with its place', (keys, path, part) => {
    const head = 'params: { lr: 0.1 }\n';
    const [problem, ...more] = problemsOf(wrap(`  a: { run: x, ${keys} }\n`, head));
    expect(more).toEqual([]);
    const [key = '', inner] = path.split(/[.[]/);
    const line = `  a: { run: x, ${keys} }`;
    const start = line.indexOf(` ${key}:`) + 1;
    const nested = inner === undefined ? -1 : line.indexOf(` ${inner}:`, start);
    const column = (nested < 0 ? start : nested + 1) + 1;
    expect(problem?.path).toBe(`steps.a.${path}`);
    expect(problem?.message).toContain(part);
    expect(problem?.line).toBe(5);
    if (!path.endsWith(']')) expect(problem?.column).toBe(column);
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
