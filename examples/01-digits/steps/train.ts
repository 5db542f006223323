import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { artifact, step } from 'anneal';
import { z } from 'zod';
import { tableFromJson } from './digits';
import { accuracyOf, initialState, modelFromJson, modelToJson, trainEpoch } from './mlp';
import type { TrainingState } from './mlp';

const HIDDEN = 64;
const BATCH = 32;
/** What a crash costs at most: an epoch takes a fraction of a second, a checkpoint about as long. */
const SAVE_EVERY_EPOCHS = 5;

function save(folder: string, state: TrainingState): void {
  const text = JSON.stringify({
    epoch: state.epoch,
    model: modelToJson(state.model),
    velocity: modelToJson(state.velocity),
  });
  // written beside and renamed into place: a half-written checkpoint is never seen
  const hidden = join(folder, '.writing');
  mkdirSync(hidden, { recursive: true });
  writeFileSync(join(hidden, 'state.json'), text);
  renameSync(hidden, join(folder, `epoch-${String(state.epoch)}`));
}

function restore(folder: string): TrainingState {
  const text = readFileSync(join(folder, 'state.json'), 'utf8');
  const { epoch, model, velocity } = JSON.parse(text) as Record<string, unknown>;
  return {
    epoch: Number(epoch),
    model: modelFromJson(model),
    velocity: modelFromJson(velocity),
  };
}

/**
 * Trains one network. Logs loss and accuracy after every epoch; saves a checkpoint after every fifth
 * one, and when it is told to end.
 */
export const train = step({
  in: z.object({
    table: artifact('dataset'),
    lr: z.number().positive(),
    epochs: z.number().int().positive(),
    seed: z.number().int(),
  }),
  out: z.object({ model: artifact('model'), accuracy: z.number() }),
  async run({ table, lr, epochs, seed }, ctx) {
    const data = tableFromJson(readFileSync(join(table, 'train.json'), 'utf8'));
    let state = ctx.resumeFrom === undefined ? initialState(HIDDEN, seed) : restore(ctx.resumeFrom);
    const mustSave = (epoch: number): boolean =>
      ctx.signal.aborted || epoch % SAVE_EVERY_EPOCHS === 0;
    if (state.epoch > 0) console.log(`resumed after epoch ${String(state.epoch)}`);

    while (state.epoch < epochs && !ctx.signal.aborted) {
      const done = trainEpoch(state, data, { learningRate: lr, batchSize: BATCH, seed });
      state = done.state;
      const accuracy = accuracyOf(state.model, data).overall;
      await ctx.log({ loss: done.loss, accuracy }, state.epoch);
      if (mustSave(state.epoch)) save(ctx.checkpointDir, state);
      ctx.progress(state.epoch / epochs, `epoch ${String(state.epoch)} of ${String(epochs)}`);
    }
    ctx.signal.throwIfAborted();

    const folder = ctx.output('model');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'model.json'), JSON.stringify(modelToJson(state.model)));
    return { model: folder, accuracy: accuracyOf(state.model, data).overall };
  },
});
