import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { artifact, step } from 'anneal';
import { z } from 'zod';
import { readDigits, shuffled, tableToJson, takeRows } from './digits';

/** One row in five is held back for the evaluation. */
const TEST_SHARE = 0.2;

/** Splits by the seed, standardises with the training part's mean and deviation, writes both parts. */
export const prepare = step({
  in: z.object({ seed: z.number().int() }),
  out: z.object({ table: artifact('dataset'), digest: z.string(), rows: z.number() }),
  run({ seed }, ctx) {
    const all = readDigits('data/digits.csv.gz');
    const order = shuffled(all.y.length, seed);
    const testRows = Math.round(order.length * TEST_SHARE);
    const test = takeRows(all, order.subarray(0, testRows));
    const train = takeRows(all, order.subarray(testRows));

    const mean = train.x.reduce((sum, value) => sum + value, 0) / train.x.length;
    const variance = train.x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / train.x.length;
    for (const part of [train, test]) {
      part.x.forEach((value, i) => (part.x[i] = (value - mean) / Math.sqrt(variance)));
    }

    const folder = ctx.output('table');
    mkdirSync(folder, { recursive: true });
    const texts = { train: tableToJson(train), test: tableToJson(test) };
    writeFileSync(join(folder, 'train.json'), texts.train);
    writeFileSync(join(folder, 'test.json'), texts.test);
    const digest = createHash('sha256').update(texts.train).update(texts.test).digest('hex');
    return { table: folder, digest, rows: all.y.length };
  },
});
