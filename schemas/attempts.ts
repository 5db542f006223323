import { z } from 'zod';
import { LogLine, Progress } from './pipeline-runs';
import { FailureClass, Outputs, StepSpec } from './plan';
import { Digest, ManifestEntry } from './artifacts';

/** What the workflow hands to the activity executeStep: references only. */
export interface ExecuteStepInput {
  readonly projectId: string;
  readonly runId: string;
  readonly stepKey: string;
  readonly attempt: number; // 1, 2, …; also the fencing token
  readonly readyAtMs: number; // when nothing but a worker was missing
  readonly timeoutSeconds: number;
  readonly graceSeconds: number;
}
export interface ExecuteStepResult {
  readonly outputs: Outputs;
}

/** Body of POST /api/v1/attempts (node token): begin an attempt. */
export const BeginAttempt = z.strictObject({
  runId: z.string(),
  stepKey: z.string(),
  attempt: z.number().int().min(1),
  node: z.string().max(200),
  readyAtMs: z.number().int().min(0).optional(), // when nothing but a worker was missing
});
export type BeginAttempt = z.infer<typeof BeginAttempt>;

/** An artifact with the URL of each file, valid for 15 minutes. */
export const Download = z.object({
  artifactId: z.string(),
  kind: z.string(),
  files: z.array(z.object({ ...ManifestEntry.shape, url: z.string() })),
});
export type Download = z.infer<typeof Download>;

/** Everything a node needs to run one attempt. */
export const AttemptTicket = z.object({
  /** True when the step was committed before: run nothing, return `outputs`. */
  committed: Outputs.nullable(),
  token: z.string(),
  spec: StepSpec,
  pipeline: z.string(),
  argv: z.array(z.string()), // rendered; empty for a function step
  env: z.record(z.string(), z.string()),
  with: z.record(z.string(), z.json()), // rendered `with` of a function step; params for a command
  params: z.record(z.string(), z.json()),
  item: z.record(z.string(), z.json()).nullable(),
  /**
   * Input name → an artifact, or JSON. JSON with `downloads` comes to the step as a file: it is what a
   * foreach step has left behind, or holds artifacts, whose references become paths.
   */
  inputs: z.record(
    z.string(),
    z.union([
      z.object({ download: Download }),
      z.object({ value: z.json(), downloads: z.array(Download).optional() }),
    ]),
  ),
  code: z.object({ digest: z.string(), url: z.string() }).nullable(),
  resume: z.object({ name: z.string(), download: Download }).nullable(),
  seed: z.number().int(),
});
export type AttemptTicket = z.infer<typeof AttemptTicket>;

/** Body of POST /api/v1/attempts/self/logs (attempt token): at most 1,000 lines. */
export const AppendLogs = z.strictObject({
  lines: z.array(z.strictObject(LogLine.shape)).max(1000),
});
/** Body of POST /api/v1/attempts/self/checkpoints. */
export const CommitCheckpoint = z.strictObject({
  name: z.string().min(1).max(200),
  manifest: z.array(ManifestEntry).min(1).max(10_000),
});
/** Body of POST /api/v1/attempts/self/older-checkpoint: ids of artifacts whose bytes are wrong. */
export const FindOlderCheckpoint = z.strictObject({ unusable: z.array(Digest).max(100) });
export type FindOlderCheckpoint = z.infer<typeof FindOlderCheckpoint>;
/** Body of POST /api/v1/attempts/self/progress: the newest word replaces the one before. */
export const ReportProgress = z.strictObject(Progress.omit({ at: true }).shape);
export type ReportProgress = z.infer<typeof ReportProgress>;
/** Body of POST /api/v1/attempts/self/commit. A `metric` output is read by the api itself. */
export const CommitAttempt = z.strictObject({
  artifacts: z.record(z.string(), z.array(ManifestEntry).min(1).max(10_000)),
  values: z.record(z.string(), z.json()),
});
/** Body of POST /api/v1/attempts/self/fail. */
export const FailAttempt = z.strictObject({
  failureClass: FailureClass,
  reason: z.string().max(2000),
  exitCode: z.number().int().nullable(),
});
