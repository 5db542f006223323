import { z } from 'zod';
import { Git } from './git';
import { PipelineRunStatus, StartPipelineRun } from './pipeline-runs';
import { Params, Plan } from './plan';
import { ScheduleName } from './schedules';
import { Triggers } from './triggers';

/** Of one page of a list. */
export const DEPLOYMENTS_MAX = 100;
/** A deployed pipeline has the name of its schedule. */
export const DeploymentName = ScheduleName;

/** Body of PUT /api/v1/pipelines/{name}: deploys a pipeline; the same again changes nothing. */
export const PutDeployment = z.strictObject({
  plan: Plan,
  /** The others have their defaults, or come with what starts a run. */
  params: Params.default({}),
  codeDigest: StartPipelineRun.shape.codeDigest,
  git: Git.optional(),
  triggers: Triggers.default({}),
  dryRun: z.boolean().default(false), // only says what would change
});
export type PutDeployment = z.infer<typeof PutDeployment>;

/** Body of POST /api/v1/pipelines/{name}/runs: starts a run of the newest version. */
export const StartDeployed = z
  .strictObject({
    params: Params.default({}), // over those of the deployment
    runKey: StartPipelineRun.shape.runKey,
    priority: StartPipelineRun.shape.priority,
  })
  .default({ params: {} });
export type StartDeployed = z.infer<typeof StartDeployed>;

/** One numbered version of a deployed pipeline; it never changes. */
export const Deployment = z.object({
  name: z.string(),
  version: z.number().int(),
  pipeline: z.string(), // the plan's own name
  planId: z.string(),
  params: Params,
  codeDigest: z.string().nullable(),
  git: Git.nullable(),
  triggers: Triggers,
  deployedBy: z.string(),
  deployedAt: z.iso.datetime(),
});
export type Deployment = z.infer<typeof Deployment>;

const LastRun = z.object({
  id: z.string(),
  status: PipelineRunStatus,
  createdAt: z.iso.datetime(),
});
/** A pipeline that is deployed: its newest version, and how its newest run stands. */
export const DeployedPipeline = Deployment.extend({
  lastRun: LastRun.nullable(),
  /** The last event since it was deployed that should have started a run and did not. */
  lastError: z.object({ message: z.string(), at: z.iso.datetime() }).nullable(),
});
export type DeployedPipeline = z.infer<typeof DeployedPipeline>;

/** All that is known of one: also the times to come and the versions before, newest first. */
export const ShownPipeline = DeployedPipeline.extend({
  schedule: z
    .object({
      isPaused: z.boolean(),
      isKnown: z.boolean(), // false if Temporal does not know it any more: deploy again
      next: z.array(z.iso.datetime()), // at most five
    })
    .nullable(),
  hookPath: z.string().nullable(), // where its webhook is called
  history: z.array(Deployment), // at most 20
});
export type ShownPipeline = z.infer<typeof ShownPipeline>;

/** The token of a hook, told once, and where it is called. */
export const HookToken = z.object({ token: z.string(), path: z.string() });
export type HookToken = z.infer<typeof HookToken>;

/** What a deployment has changed, in words; nothing if it is what was there. */
export const DeployAnswer = z.object({
  deployment: Deployment,
  changes: z.array(z.string()),
  hook: HookToken.nullable(), // if a token was made
});
export type DeployAnswer = z.infer<typeof DeployAnswer>;
