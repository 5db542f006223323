import { z } from 'zod';

/** More pipelines do not start each other in a row: whoever builds that has made a mistake. */
export const CHAIN_MAX = 16;

/**
 * What started a run; null for a run of a file or a plan. `subject` names it: the schedule, the hook, who
 * asked, `digits v3`.
 */
export const RunTrigger = z.strictObject({
  kind: z.enum(['schedule', 'request', 'webhook', 'model', 'dataset']),
  subject: z.string().min(1).max(1000),
  /** The deployed pipeline that the run is of; none for a schedule that was made by hand. */
  deployment: z
    .strictObject({ name: z.string().max(100), version: z.number().int().min(1) })
    .optional(),
  /** The deployed pipelines whose runs led to this one, the first of them first. */
  chain: z.array(z.string().max(100)).max(CHAIN_MAX).default([]),
});
export type RunTrigger = z.infer<typeof RunTrigger>;
