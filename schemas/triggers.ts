import { z } from 'zod';
import { Timing } from './schedules';

/** A param of the pipeline → the expression that gives it. */
const Expressions = z.record(z.string().max(200), z.string().max(2000)).default({});

/** A new version of a model, or an alias that was set to one: any alias, unless it is named. */
const ModelTrigger = z.strictObject({
  name: z.string().min(1).max(250),
  event: z.enum(['version', 'alias']),
  alias: z.string().min(1).max(255).optional(), // of alias events only
  params: Expressions, // over `event`
});
export type ModelTrigger = z.infer<typeof ModelTrigger>;
/** A run of a pipeline committed a dataset that differs from the one before. */
const DatasetTrigger = z.strictObject({
  pipeline: z.string().min(1).max(100),
  step: z.string().min(1).max(500),
  output: z.string().min(1).max(100),
  params: Expressions, // over `event`
});
export type DatasetTrigger = z.infer<typeof DatasetTrigger>;
/** What more pipelines have in common belongs into a pipeline of its own. */
export const LISTENS_MAX = 20;

/** What starts runs of a deployed pipeline by itself: the `on` of a pipeline file, read and checked. */
export const Triggers = z.strictObject({
  schedule: Timing.optional(),
  webhook: z.strictObject({ params: Expressions }).optional(), // over `body`
  models: z.array(ModelTrigger).max(LISTENS_MAX).optional(),
  datasets: z.array(DatasetTrigger).max(LISTENS_MAX).optional(),
});
export type Triggers = z.infer<typeof Triggers>;
