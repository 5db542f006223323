import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { artifact, metric, pipeline, step } from 'anneal';
import { z } from 'zod';
import type { Problem } from '../../errors/app-error';
import { isAppError } from '../../errors/app-error';
import { loadPipeline } from '../../sdk/load-pipeline';
import { compileYaml } from '../../sdk/pipeline-yaml';

const prepare = step({
  in: z.object({ rows: z.number(), tag: z.string().optional() }),
  out: z.object({ table: artifact('dataset'), count: z.number() }),
  run: () => ({ table: '', count: 0 }),
});
const evaluate = step({
  in: z.object({ model: artifact('model'), options: z.object({ k: z.number() }) }),
  out: z.object({ auc: z.number(), name: z.string() }),
  run: () => ({ auc: 0, name: '' }),
});
const names = new Map<object, string>([
  [prepare, './steps.ts#prepare'],
  [evaluate, './steps.ts#evaluate'],
]);
const params = z.object({
  rows: z.number().default(1e5),
  lr: z.number().min(0),
  seeds: z.array(z.number()).default([1, 2, 3]),
});

describe('pipelines in TypeScript', () => {
  it('compile to the plan that the same pipeline in YAML compiles to', () => {
    const typed = pipeline('churn', { params }, (p, s) => {
      const data = s.run(
        'prepare',
        prepare,
        { rows: p.rows },
        { pool: 'big', after: ['warm'], cache: true, heartbeat: {} },
      );
      s.command('warm', { argv: ['echo', `lr=${String(p.lr)}`, 3, true], env: { LR: p.lr } });
      const fits = s.forEach(
        'train',
        p.seeds,
        (seed) =>
          s.command('fit', {
            argv: ({ data: { path } }) => ['python', 'train.py', '--seed', seed, '--data', path],
            inputs: { data: data.table },
            outputs: { model: artifact('model', { path: 'out/model' }), auc: metric('val/auc') },
            timeout: '6h',
            totalTimeout: '2d',
            deadline: '8h',
            retry: { max: 2, on: ['crash', 'oom'], delay: '5s', backoff: 3, maxDelay: '2m' },
            checkpoint: {},
            priority: 7,
            secrets: ['HF_TOKEN'],
            heartbeat: { timeout: '10m', from: ['logs', 'status'] },
            cache: { ttl: '7d', key: ['src/**', p.lr] },
          }),
        { parallel: 4, as: 'seed', itemsMax: 5_000, minSuccess: 0.9, stopAfter: 3 },
      );
      const best = s.best('pick', fits, { by: 'auc', mode: 'max' });
      const judged = s.run('judge', evaluate, {
        model: best.model,
        options: { k: best.auc.times(2) },
      });
      s.when(best.auc.gt(0.8).and(judged.auc.gte(p.lr).or(judged.name.eq('x').not())), () => {
        s.registerModel('churn', best.model, { alias: 'candidate' });
        s.when(data.count.isIn([1, -2]), () => s.command('tell', { argv: ['echo', best.item] }));
      });
    });
    const yaml = compileYaml(`
version: 1
name: churn
params:
  rows: 100000
  lr: { type: number, min: 0 }
  seeds: [1, 2, 3]
steps:
  prepare:
    uses: ./steps.ts#prepare
    with: { rows: "\${{ params.rows }}" }
    outputs: { table: dataset, count: value }
    pool: big
    cache: true
    heartbeat: {}
    after: [warm]
  warm:
    argv: [echo, "lr=\${{ params.lr }}", "3", "true"]
    env: { LR: "\${{ params.lr }}" }
  train:
    foreach: { seed: params.seeds }
    parallel: 4
    inputs: { data: steps.prepare.outputs.table }
    run: python train.py --seed \${{ item.seed }} --data \${{ inputs.data.path }}
    outputs: { model: { type: model, path: out/model }, auc: { metric: val/auc } }
    timeout: 6h
    total_timeout: 2d
    deadline: 8h
    retry: { max: 2, on: [crash, oom], delay: 5s, backoff: 3, max_delay: 2m }
    checkpoint: {}
    priority: 7
    secrets: [HF_TOKEN]
    heartbeat: { timeout: 10m, from: [logs, status] }
    cache: { ttl: 7d, key: ["src/**", params.lr] }
    items_max: 5000
    min_success: 0.9
    stop_after: 3
  pick: { uses: builtin/best, inputs: { runs: steps.train.outputs }, with: { by: auc, mode: max } }
  judge:
    uses: ./steps.ts#evaluate
    inputs: { model: steps.pick.outputs.model }
    with: { options: { k: "\${{ steps.pick.outputs.auc * 2 }}" } }
    outputs: { auc: value, name: value }
  register:
    if: steps.pick.outputs.auc > 0.8 && (steps.judge.outputs.auc >= params.lr || !(steps.judge.outputs.name == "x"))
    uses: builtin/register-model
    inputs: { model: steps.pick.outputs.model }
    with: { name: churn, alias: candidate }
  tell:
    if: steps.pick.outputs.auc > 0.8 && (steps.judge.outputs.auc >= params.lr || !(steps.judge.outputs.name == "x")) && steps.prepare.outputs.count in [1, -2]
    argv: [echo, "\${{ steps.pick.outputs.item }}"]
`);
    expect(typed.compile(names)).toEqual(yaml);
  });

  it('holds wrong references at compile time', () => {
    // never run: each line below is an error of the compiler, or tsc fails this file
    const typed = pipeline('p', { params }, (p, s) => {
      const data = s.run('prepare', prepare, { rows: 1 });
      // @ts-expect-error a text for a number
      s.run('a', prepare, { rows: 'x' });
      // @ts-expect-error a list for a number
      s.run('b', prepare, { rows: p.seeds });
      // @ts-expect-error an input that is missing
      s.run('c', prepare, {});
      // @ts-expect-error an input that is not known
      s.run('d', prepare, { rows: 1, row: 2 });
      // @ts-expect-error a dataset where a model is wanted
      s.run('e', evaluate, { model: data.table, options: { k: 1 } });
      // @ts-expect-error an output that does not exist
      String(data.rows);
      // @ts-expect-error a parameter that does not exist
      String(p.row);
      // @ts-expect-error a dataset cannot be registered as a model
      s.registerModel('m', data.table);
      // @ts-expect-error only numbers have an order
      p.seeds.gt(3);
      // @ts-expect-error a number is no condition
      s.when(p.lr, () => undefined);
      // @ts-expect-error a wrong failure class
      s.command('h', { argv: ['x'], retry: { on: ['crsh'] } });
      const fits = s.forEach('i', p.seeds, (k) =>
        s.command('j', { argv: [k], outputs: { name: z.string() } }),
      );
      // @ts-expect-error only numbers can be compared
      s.best('k', fits, { by: 'name' });
    });
    expect(typed.name).toBe('p');
  });

  it('says what is wrong, all at once where it can', () => {
    const problemsOf = (build: Parameters<typeof pipeline<typeof params.shape>>[2]): string[] => {
      try {
        pipeline('p', { params }, build).compile(names);
        return [];
      } catch (error) {
        if (!isAppError(error) || error.code !== 'INVALID_PLAN') throw error;
        return error.problems.map((one: Problem) => `${one.path} ${one.message}`);
      }
    };
    const twice = problemsOf((_p, s) => {
      s.command('a', { argv: ['x'] });
      s.command('a', { argv: ['y'] });
    });
    expect(twice.join()).toContain('steps.a is there twice');
    const several = problemsOf((_p, s) => {
      s.command('A', { argv: ['x'], timeout: 'soon' });
      s.command('b', { argv: [], after: ['c'] });
    });
    expect(several.join('\n')).toContain('steps.A.timeout must be a duration');
    const unnamed = problemsOf((_p, s) => {
      s.run('x', step({ in: z.object({}), out: z.object({}), run: () => ({}) }), {});
    });
    expect(unnamed.join()).toContain('export it from the file that defines it');
    const none = problemsOf((p, s) => {
      s.forEach('f', p.seeds, () => ({}));
    });
    expect(none.join()).toContain('steps.f makes no step');
    const shadowed = problemsOf((_p, s) => {
      s.command('a', { argv: ['x'] });
      s.group('g', () => s.command('a', { argv: ['y'] }));
    });
    expect(shadowed.join()).toContain('steps.a has the name of a step around it');
    const sameItem = problemsOf((p, s) => {
      s.forEach('f', p.seeds, () => {
        s.forEach('g', p.seeds, () => s.command('a', { argv: ['x'] }));
      });
    });
    expect(sameItem.join()).toContain("has an item 'value'");
    const nested = problemsOf((_p, s) => {
      s.always(() => s.group('g', () => s.command('a', { argv: ['x'] })));
    });
    expect(nested.join()).toContain('runs single steps');
  });

  it('refuses rules of parameters that a plan cannot carry', () => {
    const odd = z.object({ a: z.number().positive(), b: z.enum(['x']), c: z.number().optional() });
    const compile = () => pipeline('p', { params: odd }, () => undefined).compile();
    expect(compile).toThrow(
      /params.a has an open limit.*params.b has the rule.*params.c is optional/,
    );
  });
});

describe('loadPipeline', () => {
  const example = join(__dirname, '../../examples/01-digits');
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'anneal-load-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });
  const load = (text: string, name = 'p.ts') => {
    writeFileSync(join(folder, name), text);
    return loadPipeline(join(folder, name));
  };

  it('finds the files of function steps; the digits example is one plan in both languages', async () => {
    const typed = await loadPipeline(join(example, 'pipeline.ts'));
    expect(typed).toEqual(await loadPipeline(join(example, 'pipeline.yaml')));
  });

  it('names a step by the file that defines it, also when another file exports it again', async () => {
    const define = `import { step } from 'anneal'; import { z } from 'zod';
      export const work = step({ in: z.object({}), out: z.object({}), run: () => ({}) });`;
    writeFileSync(join(folder, 'z-steps.ts'), define);
    writeFileSync(join(folder, 'a-all.ts'), "export * from './z-steps';");
    const plan = await load(`import { pipeline } from 'anneal'; import { work } from './a-all';
      export default pipeline('p', {}, (_p, s) => { s.run('w', work, {}); });`);
    expect(plan.steps[0]).toMatchObject({ uses: './z-steps.ts#work' });
  });

  it('explains what is wrong with a file', async () => {
    await expect(loadPipeline(join(folder, 'none.ts'))).rejects.toThrow('can be read');
    await expect(load('export default 3;')).rejects.toThrow('as its default export');
    await expect(load('export default (;')).rejects.toThrow(/p\.ts:1:17/);
    await expect(load('process.exit(0);')).rejects.toThrow('it called process.exit()');
    await expect(load("throw new Error('boom');")).rejects.toThrow('while it was loaded: boom');
    await expect(load("import './missing';")).rejects.toThrow('./missing');
    await expect(load('{}', 'p.json')).rejects.toThrow('must end in');
  });
});
