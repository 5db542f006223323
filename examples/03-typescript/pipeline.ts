import { artifact, pipeline } from 'anneal';
import { z } from 'zod';
import { train } from './steps';

const params = z.object({
  rows: z.number().int().min(1).default(3),
  lrs: z.array(z.number()).default([0.1, 0.2]),
});

export default pipeline('typed', { params }, (p, s) => {
  const { table } = s.command('prepare', {
    argv: ['sh', '-c', 'mkdir out && seq "$0" > out/table.csv', p.rows],
    outputs: { table: artifact('dataset', { path: 'out' }) },
  });
  const fit = { timeout: '5m', checkpoint: { keep: 2 } };
  const fits = s.forEach('train', p.lrs, (lr) => s.run('fit', train, { table, lr }, fit), {
    as: 'lr',
    parallel: 2,
  });
  const best = s.best('pick', fits, { by: 'score' });
  s.command('show', {
    inputs: { model: best.model },
    argv: (inputs) => ['ls', inputs.model.path, '-w', p.rows.times(20)],
    after: ['train'],
  });
  s.when(best.score.gte(0.5).or(p.rows.gt(2)), () =>
    s.registerModel('typed', best.model, { alias: 'champion' }),
  );
});
