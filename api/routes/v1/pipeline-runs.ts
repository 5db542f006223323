import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { DecisionDeps } from '../../../pipelines/decisions';
import { forecastPipelineRun } from '../../../pipelines/forecasts';
import * as runs from '../../../pipelines/pipeline-runs';
import { cancelPipelineRun, controlPipelineRun } from '../../../pipelines/run-controls';
import { resumePipelineRun } from '../../../pipelines/resumes';
import { readRunWithCounts } from '../../../pipelines/run-graphs';
import { diffPipelineRuns } from '../../../pipelines/run-diffs';
import { listTransitions } from '../../../pipelines/transitions';
import {
  ControlPipelineRun,
  PipelineRunStatus,
  ResumePipelineRun,
  StartPipelineRun,
} from '../../../schemas/pipeline-runs';
import { principalOf } from '../../app';

/** A page is read by a person or a program that asks again: more than this helps neither. */
const PAGE_MAX = 200;
const TRANSITIONS_MAX = 1_000;

const ById = z.object({ id: z.string().min(1).max(200) });
const ListQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(50),
  after: z.string().max(500).optional(),
  status: PipelineRunStatus.optional(),
  pipeline: z.string().max(100).optional(),
});
const TransitionsQuery = z.strictObject({
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(TRANSITIONS_MAX).default(TRANSITIONS_MAX),
});
/** A cancel says nothing more; no body at all is fine. */
const CancelPipelineRun = z.strictObject({}).optional();
const read = { config: { permission: 'pipelines:read' } } as const;
const write = { config: { permission: 'pipelines:write' } } as const;

/** Starting, watching and stopping pipeline runs. */
export function registerPipelineRuns(
  app: FastifyInstance,
  deps: runs.PipelineRunStart & DecisionDeps,
): void {
  app.post('/api/v1/pipeline-runs', write, async (request, reply) => {
    const { projectId } = principalOf(request);
    const start = StartPipelineRun.parse(request.body);
    if (start.dryRun === true)
      return { steps: await forecastPipelineRun(deps, { projectId, start }) };
    return reply.code(201).send(await runs.startPipelineRun(deps, { projectId, start }));
  });
  app.post('/api/v1/pipeline-runs/:id/cancel', write, (request) => {
    const { projectId, name: actor } = principalOf(request);
    CancelPipelineRun.parse(request.body);
    return cancelPipelineRun(deps, { projectId, actor, id: ById.parse(request.params).id });
  });
  app.post('/api/v1/pipeline-runs/:id/control', write, (request) => {
    const { projectId, name: actor } = principalOf(request);
    const control = ControlPipelineRun.parse(request.body);
    const { id } = ById.parse(request.params);
    return controlPipelineRun(deps, { projectId, id }, { ...control, actor });
  });
  app.post('/api/v1/pipeline-runs/:id/resume', write, async (request, reply) => {
    const { projectId } = principalOf(request);
    const resume = ResumePipelineRun.parse(request.body);
    const { id } = ById.parse(request.params);
    const answer = await resumePipelineRun(deps, { projectId, id, resume });
    return reply.code(resume.dryRun ? 200 : 201).send(answer);
  });
  registerReads(app, deps);
}

function registerReads(app: FastifyInstance, deps: runs.PipelineRunDeps): void {
  app.get('/api/v1/pipeline-runs', read, (request) => {
    const { limit, after, status, pipeline } = ListQuery.parse(request.query);
    const { projectId } = principalOf(request);
    return runs.listPipelineRuns(deps, { projectId, limit, after, status, pipeline });
  });
  app.get('/api/v1/pipeline-runs/:id', read, (request) => {
    const { projectId } = principalOf(request);
    return readRunWithCounts(deps, { projectId, runId: ById.parse(request.params).id });
  });
  app.get('/api/v1/pipeline-runs/:id/diff/:other', read, (request) => {
    const { projectId } = principalOf(request);
    const { id: a, other: b } = ById.extend({ other: ById.shape.id }).parse(request.params);
    return diffPipelineRuns(deps, { projectId, a, b });
  });
  app.get('/api/v1/pipeline-runs/:id/transitions', read, async (request) => {
    const { projectId } = principalOf(request);
    const { id: runId } = ById.parse(request.params);
    const query = TransitionsQuery.parse(request.query);
    return { transitions: await listTransitions(deps, { projectId, runId, ...query }) };
  });
}
