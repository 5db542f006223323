import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { artifact, step } from 'anneal';
import { z } from 'zod';
import { tableFromJson } from './digits';
import { accuracyOf, modelFromJson } from './mlp';

/** Measures a model on the rows that training never saw, over all and per digit. */
export const evaluate = step({
  in: z.object({ model: artifact('model'), table: artifact('dataset') }),
  out: z.object({ accuracy: z.number(), per_class: z.array(z.number()) }),
  async run({ model, table }, ctx) {
    const test = tableFromJson(readFileSync(join(table, 'test.json'), 'utf8'));
    const network = modelFromJson(JSON.parse(readFileSync(join(model, 'model.json'), 'utf8')));
    const { overall, perClass } = accuracyOf(network, test);
    const named = perClass.map((value, digit) => [`accuracy/${String(digit)}`, value] as const);
    await ctx.log({ accuracy: overall, ...Object.fromEntries(named) }, 0);
    return { accuracy: overall, per_class: perClass };
  },
});
