import { z } from 'zod';
import { Outputs, Params, Plan } from './plan';
import { isStorable } from './storable';

export const PipelineRunStatus = z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']);
export type PipelineRunStatus = z.infer<typeof PipelineRunStatus>;

/** 1 starts first, 5 last; runs have 3 unless told. */
const Priority = z.number().int().min(1).max(5);

/** Body of POST /api/v1/pipeline-runs. `runKey` makes the start exactly-once. */
export const StartPipelineRun = z.strictObject({
  plan: Plan,
  params: Params.default({}),
  codeDigest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  runKey: z.string().min(1).max(200).optional(),
  priority: Priority.optional(),
});
export type StartPipelineRun = z.infer<typeof StartPipelineRun>;

export const PipelineRun = z.object({
  id: z.string(),
  planId: z.string(),
  pipeline: z.string(),
  params: Params,
  codeDigest: z.string().nullable(),
  status: PipelineRunStatus,
  reason: z.string().nullable(),
  isPaused: z.boolean(),
  priority: Priority,
  createdAt: z.iso.datetime(),
  startedAt: z.iso.datetime().nullable(),
  endedAt: z.iso.datetime().nullable(),
});
export type PipelineRun = z.infer<typeof PipelineRun>;

const why = { reason: z.string().max(1000).default('') };
const StepKey = z.string().min(1).max(500);
/** Body of POST /api/v1/pipeline-runs/{id}/control: steers a run that is under way. */
export const ControlPipelineRun = z.discriminatedUnion('action', [
  z.strictObject({ action: z.enum(['pause', 'continue']), ...why }),
  z.strictObject({ action: z.enum(['skip', 'retry']), stepKey: StepKey, ...why }),
  z.strictObject({ action: z.literal('priority'), priority: Priority, ...why }),
]);
export type ControlPipelineRun = z.infer<typeof ControlPipelineRun>;

export const StepStatus = z.enum([
  'waiting',
  'running',
  'retrying',
  'succeeded',
  'failed',
  'skipped',
  'cancelled',
]);
export type StepStatus = z.infer<typeof StepStatus>;

/** More belong into the step's tracked run. */
export const METRICS_OF_PROGRESS_MAX = 100;
/** What a running step last said of itself (ANNEAL_STATUS_FILE); null: it did not say. */
export const Progress = z.object({
  fraction: z.number().min(0).max(1).nullable(), // how much of the step is done
  etaSeconds: z.number().min(0).nullable(),
  message: z.string().max(500).refine(isStorable).nullable(),
  metrics: z
    .record(z.string().max(250), z.number())
    .refine((metrics) => Object.keys(metrics).length <= METRICS_OF_PROGRESS_MAX)
    .refine(isStorable),
  at: z.iso.datetime(), // when the api heard of it
});
export type Progress = z.infer<typeof Progress>;

export const Step = z.object({
  key: z.string(),
  status: StepStatus,
  reason: z.string().nullable(),
  outputs: Outputs.nullable(),
  trackedRunId: z.string().nullable(),
  progress: Progress.nullable(), // of the newest attempt
  startedAt: z.iso.datetime().nullable(),
  endedAt: z.iso.datetime().nullable(),
});
export type Step = z.infer<typeof Step>;

export const Attempt = z.object({
  stepKey: z.string(),
  attempt: z.number().int(),
  node: z.string(),
  status: z.enum(['running', 'succeeded', 'failed', 'lost']),
  failureClass: z.string().nullable(),
  reason: z.string().nullable(),
  exitCode: z.number().int().nullable(),
  resumedFrom: z.string().nullable(),
  progress: Progress.nullable(),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime().nullable(),
});
export type Attempt = z.infer<typeof Attempt>;

export const Transition = z.object({
  id: z.number().int(),
  stepKey: z.string(),
  attempt: z.number().int(),
  state: z.string(),
  reason: z.string().nullable(),
  at: z.iso.datetime(),
});
export type Transition = z.infer<typeof Transition>;

export const LogLine = z.object({
  seq: z.number().int().min(0),
  at: z.iso.datetime(),
  stream: z.enum(['stdout', 'stderr', 'anneal']),
  text: z.string().max(16 * 1024),
});
export type LogLine = z.infer<typeof LogLine>;
