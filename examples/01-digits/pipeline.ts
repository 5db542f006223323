import { pipeline } from 'anneal';
import { z } from 'zod';
import { evaluate } from './steps/evaluate';
import { prepare } from './steps/prepare';
import { train } from './steps/train';

/** The same pipeline as pipeline.yaml, with types: both compile to the same plan. */
export default pipeline(
  'digits',
  {
    params: z.object({
      seed: z.number().int().default(1),
      epochs: z.number().int().default(120),
      lrs: z.array(z.number()).default([0.01, 0.03, 0.1]),
      min_accuracy: z.number().min(0).max(1).default(0.93),
    }),
  },
  (p, s) => {
    const { table } = s.run('prepare', prepare, { seed: p.seed });
    const trained = s.forEach(
      'train',
      p.lrs,
      (lr) =>
        s.run(
          'fit',
          train,
          { table, lr, epochs: p.epochs, seed: p.seed },
          { checkpoint: { keep: 3 }, timeout: '10m' },
        ),
      { as: 'lr' },
    );
    const best = s.best('pick', trained, { by: 'accuracy' });
    const { accuracy } = s.run('evaluate', evaluate, { model: best.model, table });
    s.when(accuracy.gte(p.min_accuracy), () =>
      s.registerModel('digits', best.model, { alias: 'champion' }),
    );
  },
);
