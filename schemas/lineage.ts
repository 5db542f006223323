import { z } from 'zod';

/** Where a walk may begin. A run stands for all of its steps. */
export const LineageKind = z.enum(['artifact', 'step', 'model', 'run']);
export type LineageKind = z.infer<typeof LineageKind>;
/** `up`: what it was made of; `down`: what was made of it. */
export const LineageDirection = z.enum(['up', 'down', 'both']);
export type LineageDirection = z.infer<typeof LineageDirection>;
/** Steps from one artifact to the next; more goes through half of a project. */
export const LINEAGE_DEPTH_MAX = 20;

/** Query of GET /api/v1/lineage/{kind}/{id}. */
export const LineageQuery = z.strictObject({
  direction: LineageDirection.default('both'),
  depth: z.coerce.number().int().min(1).max(LINEAGE_DEPTH_MAX).default(LINEAGE_DEPTH_MAX),
});

const ArtifactNode = z.object({
  kind: z.literal('artifact'),
  id: z.string(),
  artifactKind: z.string(),
  sizeBytes: z.number(),
});
const StepNode = z.object({
  kind: z.literal('step'),
  id: z.string(), // '<pipeline run>/<step key>'
  runId: z.string(),
  stepKey: z.string(),
  pipeline: z.string(),
  codeDigest: z.string().nullable(),
  gitCommit: z.string().nullable(),
  trackedRunId: z.string().nullable(),
  endedAt: z.iso.datetime().nullable(),
});
const ModelNode = z.object({
  kind: z.literal('model'),
  id: z.string(), // '<name>/<version>'
  model: z.string(),
  version: z.number().int(),
  aliases: z.array(z.string()),
});
export const LineageNode = z.discriminatedUnion('kind', [ArtifactNode, StepNode, ModelNode]);
export type LineageNode = z.infer<typeof LineageNode>;

/** `from` was made or given before `to`; both are `<kind>:<id>`. */
export const LineageEdge = z.object({
  from: z.string(),
  to: z.string(),
  name: z.string(), // of the step's output or input; '' for a model version
});
export type LineageEdge = z.infer<typeof LineageEdge>;

export const Lineage = z.object({
  start: z.array(z.string()), // `<kind>:<id>`; several for a run: its steps that succeeded
  nodes: z.array(LineageNode), // the start first, then by distance
  edges: z.array(LineageEdge),
  /** True if there is more: behind the depth, or more than can be shown. */
  isCut: z.boolean(),
});
export type Lineage = z.infer<typeof Lineage>;
