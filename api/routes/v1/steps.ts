import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { PresenceDeps } from '../../../pipelines/pools';
import { readRunGraph } from '../../../pipelines/run-graphs';
import { getStep, listSteps } from '../../../pipelines/step-reasons';
import { StepStatus } from '../../../schemas/pipeline-runs';
import { principalOf } from '../../app';

/** Outputs are up to 64 KiB a step: a page stays within some megabytes. */
const PAGE_MAX = 1_000;

const ById = z.object({ id: z.string().min(1).max(200) });
/** A step of a run by its key. */
export const ByStep = ById.extend({ key: z.string().min(1).max(500) });
const StepsQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_MAX),
  after: z.string().max(500).optional(), // the `next` of the page before
  status: StepStatus.optional(),
});
const GraphQuery = z.strictObject({ full: z.stringbool().default(false) });
const read = { config: { permission: 'pipelines:read' } } as const;

/** The steps of a run, with why they wait, and its graph. */
export function registerSteps(app: FastifyInstance, deps: PresenceDeps): void {
  app.get('/api/v1/pipeline-runs/:id/steps', read, async (request) => {
    const { projectId } = principalOf(request);
    const { id: runId } = ById.parse(request.params);
    const { limit, after, status } = StepsQuery.parse(request.query);
    // one more tells whether there is a next page
    const rows = await listSteps(deps, { projectId, runId, after, status, limit: limit + 1 });
    const steps = rows.slice(0, limit);
    return { steps, next: rows.length > limit ? (steps.at(-1)?.key ?? null) : null };
  });
  app.get('/api/v1/pipeline-runs/:id/steps/:key', read, (request) => {
    const { projectId } = principalOf(request);
    const { id: runId, key: stepKey } = ByStep.parse(request.params);
    return getStep(deps, { projectId, runId, stepKey });
  });
  app.get('/api/v1/pipeline-runs/:id/graph', read, (request) => {
    const { projectId } = principalOf(request);
    const { id: runId } = ById.parse(request.params);
    const { full: isFull } = GraphQuery.parse(request.query);
    return readRunGraph(deps, { projectId, runId, isFull });
  });
}
