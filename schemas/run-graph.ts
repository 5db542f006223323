import { z } from 'zod';
import { StepStatus } from './pipeline-runs';

const Counts = z.partialRecord(StepStatus, z.number().int());

/** How many steps a run has, and how many show which status. */
export const StepCounts = z.object({ total: z.number().int(), byStatus: Counts });
export type StepCounts = z.infer<typeof StepCounts>;

export const RunGraphNode = z.object({
  key: z.string(),
  /** `group`: a foreach or a sub-pipeline with all that is in it. */
  kind: z.enum(['step', 'group']),
  status: StepStatus,
  /** Its steps are not known before what it needs has ended. */
  isUnknown: z.literal(true).optional(),
  steps: StepCounts.nullable(), // of a group that is shown as one node
  startedAt: z.iso.datetime().nullable(),
  endedAt: z.iso.datetime().nullable(),
});
export type RunGraphNode = z.infer<typeof RunGraphNode>;

/** Answer of GET /api/v1/pipeline-runs/{id}/graph. Nodes come before those that need them. */
export const RunGraph = z.object({
  nodes: z.array(RunGraphNode),
  edges: z.array(z.object({ from: z.string(), to: z.string() })),
});
export type RunGraph = z.infer<typeof RunGraph>;
