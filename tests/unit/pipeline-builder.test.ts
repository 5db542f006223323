import { artifact, metric, pipeline, step } from 'anneal';
import { z } from 'zod';
import { planId } from '../../dag/plan-id';
import { compileYaml } from '../../sdk/pipeline-yaml';
import type { PipelineBuilder } from '../../sdk/pipeline-builder';
import { planToYaml } from '../../sdk/plan-yaml';

const fit = step({
  in: z.object({ lr: z.number(), seed: z.number(), data: artifact('dataset') }),
  out: z.object({ model: artifact('model'), auc: z.number() }),
  run: () => ({ model: '', auc: 0 }),
});
const artifactOf = (s: PipelineBuilder) =>
  s.command('d', { argv: ['x'], outputs: { data: artifact('dataset') } }).data;
const names = new Map<object, string>([[fit, './fit.ts#fit']]);
const params = z.object({
  lrs: z.array(z.number()).default([0.1, 0.2]),
  seeds: z.array(z.number()).default([1, 2]),
  min: z.number().default(0.5),
});

describe('sub-pipelines, matrices, branches and handlers in TypeScript', () => {
  const typed = pipeline('sweep', { params }, (p, s) => {
    const { data } = s.command('prep', {
      argv: ['x'],
      outputs: { data: artifact('dataset'), parts: z.array(z.object({ id: z.number() })) },
    });
    const grid = s.forEach(
      'grid',
      { lr: p.lrs, seed: p.seeds, flag: [true, false] },
      ({ lr, seed, flag }) => {
        const fitted = s.run('fit', fit, { lr, seed, data });
        s.when(flag, () => s.command('show', { argv: ['show', fitted.auc] }));
        return { auc: fitted.auc, best: fitted.model };
      },
      { parallel: 2, minSuccess: 0.5, after: ['warm'] },
    );
    s.command('warm', { argv: ['warm'] });
    const top = s.best('top', grid, { by: 'auc' });
    const judged = s.forEach(
      'judge',
      grid,
      (run) =>
        s.command('one', {
          argv: ['judge', run.auc, run.item],
          inputs: { model: run.best },
          outputs: { loss: metric('loss') },
        }),
      { as: 'run' },
    );
    s.forEach('nested', p.lrs, (lr) => {
      s.forEach('inner', p.seeds, (seed) => s.command('c', { argv: [lr, seed] }), { as: 'seed' });
    });
    const ended = s.group('end', () => {
      const { text } = s.command('report', {
        argv: ['report'],
        inputs: { all: judged, model: top.best },
        outputs: { text: artifact('file') },
      });
      return { text };
    });
    s.when(
      top.auc.gt(p.min),
      () => s.registerModel('m', top.best),
      () => {
        s.command('sorry', { argv: ['mail'], inputs: { text: ended.text } });
        s.when(p.min.lt(0.9), () =>
          s.group('again', () => {
            s.command('a', { argv: ['a'] });
          }),
        );
      },
    );
    s.onFailure((run) => {
      s.notify('tell', { url: 'https://example.com', message: run.reason }, { timeout: '1m' });
      s.when(run.status.eq('failed'), () => s.command('log', { argv: ['log', run.status] }));
    });
    s.always(() => {
      s.notify('notify');
    });
    s.onSuccess(() => s.command('done', { argv: ['done', top.auc] }));
  });
  const plan = typed.compile(names);

  it('compile to the plan that the same pipeline in YAML compiles to', () => {
    expect(plan).toEqual(
      compileYaml(`
version: 1
name: sweep
params: { lrs: [0.1, 0.2], seeds: [1, 2], min: 0.5 }
steps:
  prep: { argv: [x], outputs: { data: dataset, parts: value } }
  grid:
    foreach: { lr: params.lrs, seed: params.seeds, flag: "[true, false]" }
    parallel: 2
    min_success: 0.5
    after: [warm]
    steps:
      fit:
        uses: ./fit.ts#fit
        with: { lr: "\${{ item.lr }}", seed: "\${{ item.seed }}" }
        inputs: { data: steps.prep.outputs.data }
        outputs: { model: model, auc: value }
      show: { if: item.flag, argv: [show, "\${{ steps.fit.outputs.auc }}"] }
    outputs: { auc: steps.fit.outputs.auc, best: steps.fit.outputs.model }
  warm: { argv: [warm] }
  top: { uses: builtin/best, inputs: { runs: steps.grid.outputs }, with: { by: auc, mode: max } }
  judge:
    foreach: { run: steps.grid.outputs }
    argv: [judge, "\${{ item.run.auc }}", "\${{ item.run.item }}"]
    inputs: { model: item.run.best }
    outputs: { loss: { metric: loss } }
  nested:
    foreach: { value: params.lrs }
    steps:
      inner: { foreach: { seed: params.seeds }, argv: ["\${{ item.value }}", "\${{ item.seed }}"] }
  end:
    steps:
      report:
        argv: [report]
        inputs: { all: steps.judge.outputs, model: steps.top.outputs.best }
        outputs: { text: file }
    outputs: { text: steps.report.outputs.text }
  register:
    if: steps.top.outputs.auc > params.min
    uses: builtin/register-model
    inputs: { model: steps.top.outputs.best }
    with: { name: m }
    else:
      sorry: { argv: [mail], inputs: { text: steps.end.outputs.text } }
      again: { if: params.min < 0.9, steps: { a: { argv: [a] } } }
on_failure:
  - { name: tell, uses: builtin/notify, timeout: 1m, with: { url: "https://example.com", message: "\${{ run.reason }}" } }
  - { name: log, if: run.status == "failed", argv: [log, "\${{ run.status }}"] }
always: [{ uses: builtin/notify }]
on_success: [{ name: done, argv: [done, "\${{ steps.top.outputs.auc }}"] }]
`),
    );
  });

  it('survive the way through YAML and back', () => {
    const again = compileYaml(planToYaml(plan));
    expect(again).toEqual(plan);
    expect(planId(again)).toBe(planId(plan));
  });

  it('hold wrong references at compile time', () => {
    // never run: each line below is an error of the compiler, or tsc fails this file
    const wrong = pipeline('p', { params }, (p, s) => {
      const fits = s.forEach('f', { lr: p.lrs, seed: p.seeds }, ({ lr }) =>
        s.run('fit', fit, {
          lr,
          // @ts-expect-error a list where a number is wanted
          seed: p.seeds,
          data: artifactOf(s),
        }),
      );
      s.forEach('g', fits, (one) => {
        // @ts-expect-error an output that the items do not have
        String(one.acu);
        // @ts-expect-error a model where a dataset is wanted
        s.run('fit', fit, { lr: 1, seed: 1, data: one.model });
      });
      // @ts-expect-error an item that is not there
      s.forEach('h', { lr: p.lrs }, ({ seed }) => s.command('x', { argv: [seed] }));
      const group = s.group('g', () => s.command('y', { argv: ['y'], outputs: { n: z.number() } }));
      // @ts-expect-error a number is no condition
      s.when(group.n, () => undefined);
      // @ts-expect-error an output that the group does not give
      String(group.m);
      s.onFailure((run) => {
        // @ts-expect-error no way in which a run ends
        run.status.eq('crashed');
      });
    });
    expect(wrong.name).toBe('p');
  });
});
