import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { artifact, step } from 'anneal';
import { z } from 'zod';

/** Counts to three and saves itself each time: the shape of a training. */
export const train = step({
  in: z.object({ table: artifact('dataset'), lr: z.number() }),
  out: z.object({ model: artifact('model'), score: z.number() }),
  async run({ table, lr }, ctx) {
    const rows = readFileSync(join(table, 'table.csv'), 'utf8').trim().split('\n').length;
    let epoch = ctx.resumeFrom === undefined ? 0 : Number(readFileSync(ctx.resumeFrom, 'utf8'));
    while (epoch < 3) {
      ctx.signal.throwIfAborted(); // told to end: the process ends with 75 and goes on elsewhere
      epoch += 1;
      await ctx.log({ loss: 1 / (lr * epoch) }, epoch);
      const unfinished = join(ctx.checkpointDir, '.epoch');
      writeFileSync(unfinished, String(epoch));
      renameSync(unfinished, join(ctx.checkpointDir, `epoch-${String(epoch)}`));
      ctx.progress(epoch / 3, `epoch ${String(epoch)} of 3`);
    }
    writeFileSync(ctx.output('model'), String(lr));
    return { model: ctx.output('model'), score: lr * rows };
  },
});
