import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { AppError, requireArgument } from '../../../errors/app-error';
import {
  beginAttempt,
  failAttempt,
  reportProgress,
  resumeFromOlder,
} from '../../../pipelines/attempts';
import type { AttemptDeps } from '../../../pipelines/attempts';
import { commitCheckpoint, readCheckpoints } from '../../../pipelines/checkpoints';
import { commitAttempt } from '../../../pipelines/commits';
import type { CommitDeps } from '../../../pipelines/commits';
import { appendLogLines, readLogLines } from '../../../pipelines/log-lines';
import { getPipelineRun } from '../../../pipelines/pipeline-runs';
import {
  AppendLogs,
  BeginAttempt,
  CommitAttempt,
  CommitCheckpoint,
  FailAttempt,
  FindOlderCheckpoint,
  ReportProgress,
} from '../../../schemas/attempts';
import { AttemptEnvironment } from '../../../schemas/pipeline-runs';
import { isStorable } from '../../../schemas/storable';
import { findMetricsStamp, listAttempts, setEnvironment } from '../../../storage/postgres/attempts';
import type { AttemptKey } from '../../../storage/postgres/attempts';
import { principalOf } from '../../app';

const LogQuery = z.strictObject({
  step: z.string().max(200).optional(),
  attempt: z.coerce.number().int().min(1).max(1_000_000).optional(),
  after: z.coerce.number().int().min(0).optional(),
  limit: z.coerce.number().int().min(1).max(5_000).default(1_000),
});

/** The attempt whose own token this is. */
export function attemptOf(request: FastifyRequest): AttemptKey {
  const { projectId, attempt } = principalOf(request);
  if (attempt === undefined)
    throw new AppError('PERMISSION_DENIED', 'Only an attempt may do this.');
  return { projectId, ...attempt };
}

/** What nodes and the processes of steps call, and what people read of it. */
export function registerAttempts(app: FastifyInstance, deps: AttemptDeps & CommitDeps): void {
  app.post('/api/v1/attempts', { config: { permission: 'attempts:begin' } }, (request) => {
    const { projectId } = principalOf(request);
    return beginAttempt(deps, { projectId, ...BeginAttempt.parse(request.body) });
  });
  const self = { config: { permission: 'attempts:self' } } as const;
  app.post('/api/v1/attempts/self/logs', self, async (request) => {
    const { lines } = AppendLogs.parse(request.body);
    await appendLogLines(deps, { attempt: attemptOf(request), lines });
    return {};
  });
  app.post('/api/v1/attempts/self/progress', self, async (request) => {
    const report = ReportProgress.parse(request.body);
    await reportProgress(deps, { attempt: attemptOf(request), report });
    return {};
  });
  app.post('/api/v1/attempts/self/environment', self, async (request) => {
    const environment = AttemptEnvironment.parse(request.body);
    requireArgument(isStorable(environment), 'The environment holds a NUL or half a character.');
    await setEnvironment(deps.postgres, { ...attemptOf(request), environment });
    return {};
  });
  app.get('/api/v1/attempts/self/metrics-stamp', self, async (request) => ({
    stamp: await findMetricsStamp(deps.postgres, attemptOf(request)),
  }));
  app.post('/api/v1/attempts/self/checkpoints', self, (request) => {
    const body = CommitCheckpoint.parse(request.body);
    return commitCheckpoint(deps, { attempt: attemptOf(request), ...body });
  });
  app.post('/api/v1/attempts/self/older-checkpoint', self, async (request) => {
    const body = FindOlderCheckpoint.parse(request.body);
    return { resume: await resumeFromOlder(deps, { attempt: attemptOf(request), ...body }) };
  });
  app.post('/api/v1/attempts/self/commit', self, async (request) => {
    const body = CommitAttempt.parse(request.body);
    return { outputs: await commitAttempt(deps, { attempt: attemptOf(request), ...body }) };
  });
  app.post('/api/v1/attempts/self/fail', self, async (request) => {
    const body = FailAttempt.parse(request.body);
    await failAttempt(deps, { attempt: attemptOf(request), ...body });
    return {};
  });
  registerReads(app, deps);
}

function registerReads(app: FastifyInstance, deps: AttemptDeps): void {
  type ById = { Params: { id: string } };
  const read = { config: { permission: 'pipelines:read' } } as const;
  app.get<ById>('/api/v1/pipeline-runs/:id/attempts', read, async (request) => {
    const run = { projectId: principalOf(request).projectId, runId: request.params.id };
    await getPipelineRun(deps, { projectId: run.projectId, id: run.runId });
    return { attempts: await listAttempts(deps.postgres, run) };
  });
  app.get<ById>('/api/v1/pipeline-runs/:id/checkpoints', read, async (request) => {
    const run = { projectId: principalOf(request).projectId, runId: request.params.id };
    await getPipelineRun(deps, { projectId: run.projectId, id: run.runId });
    return { checkpoints: await readCheckpoints(deps, run) };
  });
  app.get<ById>('/api/v1/pipeline-runs/:id/logs', read, (request) => {
    const { step: stepKey, ...page } = LogQuery.parse(request.query);
    const { projectId } = principalOf(request);
    return readLogLines(deps, {
      projectId,
      runId: request.params.id,
      stepKey,
      attempt: page.attempt,
      after: page.after,
      limit: page.limit,
    });
  });
}
