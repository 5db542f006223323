import { z } from 'zod';
import { Git } from './git';
import { Outputs, Params, Plan } from './plan';
import { RunTrigger } from './run-triggers';
import { isStorable } from './storable';

export const PipelineRunStatus = z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']);
export type PipelineRunStatus = z.infer<typeof PipelineRunStatus>;

/** `2026-01-31T18:00Z`, the next `18:00Z`, or `6h` from now on. */
const Deadline = z.string().min(1).max(100);
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
  git: Git.optional(), // what the code was packed from
  runKey: z.string().min(1).max(200).optional(),
  priority: Priority.optional(),
  deadline: Deadline.optional(), // by then it is to end; it ends nothing by itself
  dryRun: z.boolean().optional(), // only says what would become of each step
});
export type StartPipelineRun = z.infer<typeof StartPipelineRun>;

/** Body of POST /api/v1/pipeline-runs/{id}/resume: a new run of the same plan. */
export const ResumePipelineRun = z.strictObject({
  from: z.string().min(1).max(500).optional(), // this step, and all that follow, run in any case
  params: Params.default({}), // the others stay as they were
  codeDigest: StartPipelineRun.shape.codeDigest, // as it was, if left out
  git: Git.optional(), // of the other code
  dryRun: z.boolean().default(false), // only says what would become of each step
});
export type ResumePipelineRun = z.infer<typeof ResumePipelineRun>;

/** What would become of a step of a run; `unknown`: what it needs is not known yet. */
export const ResumedStep = z.object({
  key: z.string(),
  outcome: z.enum(['reuse', 'run', 'skip', 'unknown']),
  reason: z.string(),
});
export type ResumedStep = z.infer<typeof ResumedStep>;

export const PipelineRun = z.object({
  id: z.string(),
  planId: z.string(),
  pipeline: z.string(),
  params: Params,
  codeDigest: z.string().nullable(),
  git: Git.nullable(), // null: not said, or the code stood in no repository
  trigger: RunTrigger.nullable(), // what started it; null: somebody with a plan or a file
  status: PipelineRunStatus,
  reason: z.string().nullable(),
  isPaused: z.boolean(),
  priority: Priority,
  deadline: z.iso.datetime().nullable(),
  resumedFrom: z.string().nullable(), // the run whose results it may take
  createdAt: z.iso.datetime(),
  startedAt: z.iso.datetime().nullable(),
  endedAt: z.iso.datetime().nullable(),
});
export type PipelineRun = z.infer<typeof PipelineRun>;

/** What a change needs besides its reason; nothing else goes with it. */
const NEEDED = { skip: 'stepKey', retry: 'stepKey', priority: 'priority', deadline: 'deadline' };
const OF_ACTIONS = ['stepKey', 'priority', 'deadline'] as const;

/** Body of POST /api/v1/pipeline-runs/{id}/control: steers a run that is under way. */
export const ControlPipelineRun = z
  .strictObject({
    action: z.enum(['pause', 'continue', 'skip', 'retry', 'priority', 'deadline']),
    stepKey: z.string().min(1).max(500).optional(), // of skip and retry
    priority: Priority.optional(), // of priority
    deadline: Deadline.nullable().optional(), // of deadline; null: none any more
    reason: z.string().max(1000).default(''),
  })
  .transform(({ action, reason, ...of }, context) => {
    const wrong = (path: string, message: string): typeof z.NEVER => {
      context.addIssue({ code: 'custom', path: [path], message });
      return z.NEVER;
    };
    const needed: Readonly<Record<string, string>> = NEEDED;
    const extra = OF_ACTIONS.find((key) => of[key] !== undefined && key !== needed[action]);
    if (extra !== undefined) return wrong(extra, `not with ${action}`);
    const { stepKey, priority, deadline } = of;
    switch (action) {
      case 'pause':
      case 'continue':
        return { action, reason };
      case 'skip':
      case 'retry':
        if (stepKey === undefined) return wrong('stepKey', `missing: ${action} needs a step`);
        return { action, stepKey, reason };
      case 'priority':
        if (priority === undefined) return wrong('priority', 'missing: from 1 (first) to 5');
        return { action, priority, reason };
      case 'deadline':
        if (deadline === undefined) return wrong('deadline', 'missing: a time, or null for none');
        return { action, deadline, reason };
    }
  });
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
  stalledSince: z.iso.datetime().optional(), // alive, but silent for long
  at: z.iso.datetime(), // when the api heard of it
});
export type Progress = z.infer<typeof Progress>;

/** Whether a step's result was there already, and why; `key` is that of its content. */
export const StepCache = z.object({
  hit: z.boolean(),
  key: z.string(),
  from: z.object({ runId: z.string(), stepKey: z.string() }).nullable(),
  explanation: z.string(),
});
export type StepCache = z.infer<typeof StepCache>;

export const Step = z.object({
  key: z.string(),
  status: StepStatus,
  reason: z.string().nullable(),
  outputs: Outputs.nullable(),
  trackedRunId: z.string().nullable(),
  progress: Progress.nullable(), // of the newest attempt
  cache: StepCache.nullable(), // null: nobody looked for a result
  startedAt: z.iso.datetime().nullable(),
  endedAt: z.iso.datetime().nullable(),
});
export type Step = z.infer<typeof Step>;

/** In what a step differs in two runs: how it ended, null without such a step; what it depends on. */
export const StepDiff = z.object({
  key: z.string(),
  a: StepStatus.nullable(),
  b: StepStatus.nullable(),
  changed: z.string(),
});
export type StepDiff = z.infer<typeof StepDiff>;

/** Two texts that differ. */
const Differing = z.object({ a: z.string().nullable(), b: z.string().nullable() });
/** In what two runs differ; null or empty: in nothing. */
export const RunDiff = z.object({
  pipeline: Differing.nullable(),
  planId: Differing.nullable(),
  codeDigest: Differing.nullable(),
  git: z.object({ a: Git.nullable(), b: Git.nullable() }).nullable(),
  params: z.array(z.object({ name: z.string(), a: z.json(), b: z.json() })),
  steps: z.array(StepDiff),
  /** What machines and packages of the same steps differ in: each text, and the steps that it holds of. */
  environments: z.array(z.object({ changed: z.string(), steps: z.array(z.string()) })),
});
export type RunDiff = z.infer<typeof RunDiff>;

/** What an attempt ran in; 256 KiB of JSON at most. */
export const AttemptEnvironment = z.strictObject({
  command: z.string().max(8_000),
  codeDigest: z.string().nullable(),
  seed: z.number().int(),
  os: z.string().max(500),
  cpu: z.string().max(500),
  memoryBytes: z.number(),
  node: z.string().max(100), // the version of Node.js
  python: z
    .strictObject({
      version: z.string().max(500),
      digest: z.string(), // SHA-256 of all packages
      packages: z.array(z.string().max(100)).max(2_000),
    })
    .optional(),
  gpus: z.array(z.string().max(500)).max(64).optional(),
  variables: z.record(z.string().max(200), z.string().max(500)),
});
export type AttemptEnvironment = z.infer<typeof AttemptEnvironment>;

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
  environment: AttemptEnvironment.nullable(),
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
