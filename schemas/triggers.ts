import { z } from 'zod';
import { Timing } from './schedules';

/** What starts runs of a deployed pipeline by itself: the `on` of a pipeline file, read and checked. */
export const Triggers = z.strictObject({
  schedule: Timing.optional(),
});
export type Triggers = z.infer<typeof Triggers>;
