import { z } from 'zod';
import { Git } from './git';
import { PipelineRunStatus, StartPipelineRun } from './pipeline-runs';
import { Params, Plan } from './plan';
import { isStorable } from './storable';

/** Of one page of a list. */
export const SCHEDULES_MAX = 100;

/** Its runs are called after it, so it is short: 50 characters and the time fit into a run's id. */
export const ScheduleName = z
  .string()
  .regex(/^[A-Za-z0-9][\w.-]{0,49}$/, "1 to 50 letters, digits, '.', '_' or '-'");
/** What happens when it is time and the run before goes on still. */
export const OverlapPolicy = z.enum([
  'skip',
  'buffer-one',
  'allow',
  'cancel-other',
  'terminate-other',
]);
export type OverlapPolicy = z.infer<typeof OverlapPolicy>;

const DAY_SECONDS = 24 * 3600;
const YEAR_SECONDS = 366 * DAY_SECONDS;
const Seconds = z.number().int().min(0);
const Note = z.string().max(1000).refine(isStorable);
/** When to start runs. */
export const Timing = z.strictObject({
  /** Five fields (minute, hour, day of month, month, day of week), or `@daily` and the like. */
  cron: z.string().min(1).max(200).optional(),
  everySeconds: Seconds.min(1).max(YEAR_SECONDS).optional(),
  timezone: z.string().min(1).max(100).default('UTC'), // a name of the IANA database, for cron
  overlap: OverlapPolicy.default('skip'),
  /** After an outage, runs are made up for that are late by no more than this. */
  catchUpSeconds: Seconds.min(10).max(YEAR_SECONDS).default(3600),
  /** Each run starts late by a random time up to this, so that not all start at once. */
  jitterSeconds: Seconds.max(DAY_SECONDS).default(0),
});
export type Timing = z.infer<typeof Timing>;
/** Which run to start. */
export const RunTemplate = z.strictObject({
  plan: Plan.optional(),
  planId: z.string().min(1).max(200).optional(), // of a plan that is stored already
  params: Params.default({}),
  codeDigest: StartPipelineRun.shape.codeDigest,
  git: Git.optional(), // what the code was packed from
});
export type RunTemplate = z.infer<typeof RunTemplate>;

/** Body of PUT /api/v1/schedules/{name}: creates it, or takes the place of what was there. */
export const PutSchedule = z.strictObject({
  ...RunTemplate.shape,
  ...Timing.shape, // exactly one of cron and everySeconds
  paused: z.boolean().optional(), // as it was, if not given
  note: Note.optional(),
});
export type PutSchedule = z.infer<typeof PutSchedule>;

/** What is kept of a schedule; the plan is stored beside it, the params are complete. */
export const ScheduleSpec = z.object({
  ...Timing.shape,
  planId: z.string(),
  pipeline: z.string(),
  params: Params,
  codeDigest: z.string().optional(),
  git: Git.optional(),
  /** The version of the deployed pipeline of this name that it belongs to. */
  deployment: z.number().int().optional(),
});
export type ScheduleSpec = z.infer<typeof ScheduleSpec>;

/** Body of the routes that pause and unpause; no body at all is fine. */
export const PauseSchedule = z.strictObject({ note: Note.default('') }).optional();
/** Body of POST /api/v1/schedules/{name}/backfill: starts the runs of a time that is over. */
export const BackfillSchedule = z.strictObject({
  from: z.iso.datetime({ offset: true }),
  to: z.iso.datetime({ offset: true }),
  overlap: OverlapPolicy.default('allow'),
});

const ScheduledRun = z.object({
  id: z.string(),
  scheduledAt: z.iso.datetime(),
  status: PipelineRunStatus,
  reason: z.string().nullable(),
});
export const Schedule = ScheduleSpec.extend({
  name: z.string(),
  isPaused: z.boolean(),
  note: z.string(),
  /** False if Temporal does not know it any more: put it again. */
  isKnown: z.boolean(),
  next: z.array(z.iso.datetime()), // at most five
  runs: z.array(ScheduledRun), // the last ones, newest first
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});
export type Schedule = z.infer<typeof Schedule>;
