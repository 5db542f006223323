import { z } from 'zod';
import { Timing } from './schedules';

/** A param of the pipeline → the expression that gives it. */
const Expressions = z.record(z.string().max(200), z.string().max(2000)).default({});

/** What starts runs of a deployed pipeline by itself: the `on` of a pipeline file, read and checked. */
export const Triggers = z.strictObject({
  schedule: Timing.optional(),
  webhook: z.strictObject({ params: Expressions }).optional(), // over `body`
});
export type Triggers = z.infer<typeof Triggers>;
