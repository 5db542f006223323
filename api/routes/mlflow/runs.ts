import type { FastifyInstance } from 'fastify';
import { AppError } from '../../../errors/app-error';
import type { KeyValue } from '../../../schemas/experiments';
import type { MetricPoint } from '../../../schemas/metrics';
import type { Run, RunDetail, RunStatus } from '../../../schemas/runs';
import type { Postgres } from '../../../storage/postgres/client';
import { logBatch } from '../../../tracker/batches';
import type { Metrics } from '../../../tracker/metrics';
import * as runs from '../../../tracker/runs';
import { principalOf } from '../../app';
import { experimentIdOf, refuseFilter, stagesOf } from './experiments';
import { mountMlflow, writeDouble } from './wire';
import type { Message } from './wire';

interface Deps {
  readonly postgres: Postgres;
  readonly metrics: Metrics;
}
/** `run_uuid` is the old name of `run_id`; old clients send only that. */
const ID = { run_id: { type: 'string' }, run_uuid: { type: 'string' } } as const;
const PAIR = { key: { type: 'string', required: true }, value: { type: 'string' } } as const;
const METRIC = {
  key: { type: 'string', required: true },
  value: { type: 'double', required: true },
  timestamp: { type: 'int64', required: true },
  step: { type: 'int64' },
} as const;
/** What MLflow's batches take for an id, though no run of ours is called so. */
const RUN_ID = /^[a-zA-Z0-9][\w-]{0,255}$/;
const STATUSES: readonly RunStatus[] = ['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED'];

/** The run's id, or the message that MLflow gives when it is missing. */
export function runIdOf(message: {
  readonly run_id: string | undefined;
  readonly run_uuid: string | undefined;
}): string {
  const id = message.run_id ?? message.run_uuid ?? '';
  if (id !== '') return id;
  const text =
    "Missing value for required parameter 'run_id'. See the API docs for more information.";
  throw new AppError('INVALID_ARGUMENT', text);
}

/** Names, or their numbers in the protocol (1 RUNNING … 5 KILLED). */
function statusOf(text: string | undefined): RunStatus | undefined {
  if (text === undefined || text === '') return undefined;
  const byNumber = STATUSES[Number(text) - 1];
  const status = byNumber ?? STATUSES.find((name) => name === text);
  if (status !== undefined) return status;
  throw new AppError(
    'INVALID_ARGUMENT',
    `Invalid value '${text}' for parameter 'status' supplied.`,
  );
}

function toInfo(run: Run): object {
  return {
    run_id: run.id,
    run_uuid: run.id,
    run_name: run.name,
    experiment_id: String(run.experimentId),
    user_id: run.userId,
    status: run.status,
    start_time: run.startedMs,
    end_time: run.endedMs,
    lifecycle_stage: run.lifecycleStage,
    artifact_uri: run.artifactUri,
  };
}

function toWire(detail: RunDetail): object {
  const pair = ({ key, value }: { key: string; value: string }): object => ({ key, value });
  return {
    info: toInfo(detail.run),
    data: {
      params: detail.params.map(pair),
      tags: detail.tags.map(pair),
      metrics: detail.metrics.map((point) => ({
        key: point.key,
        value: writeDouble(point.value),
        timestamp: point.timestampMs,
        step: point.step,
      })),
    },
    inputs: {},
    outputs: {},
  };
}

/** Mounts MLflow's run routes. */
export function registerMlflowRuns(app: FastifyInstance, deps: Deps): void {
  registerLifecycle(app, deps);
  registerMoves(app, deps);
  registerReads(app, deps);
  registerLogging(app, deps);
  registerTags(app, deps);
}

function registerLifecycle(app: FastifyInstance, deps: Deps): void {
  const permission = 'runs:write';
  mountMlflow(app, {
    method: 'POST',
    path: 'runs/create',
    permission,
    table: {
      experiment_id: { type: 'string' },
      user_id: { type: 'string' },
      run_name: { type: 'string' },
      start_time: { type: 'int64' },
      tags: { type: [PAIR] },
    },
    handler: async (message, request) => {
      const created = await runs.createRun(deps, {
        principal: principalOf(request),
        experimentId: experimentIdOf(
          message.experiment_id === '' ? '0' : (message.experiment_id ?? '0'),
        ),
        name: message.run_name,
        userId: message.user_id ?? '',
        startedMs: message.start_time,
        tags: (message.tags ?? []).map(({ key, value }) => ({ key, value: value ?? '' })),
      });
      return { run: toWire(created) };
    },
  });
  mountMlflow(app, {
    method: 'POST',
    path: 'runs/update',
    permission,
    table: {
      ...ID,
      status: { type: 'enum' },
      end_time: { type: 'int64' },
      run_name: { type: 'string' },
    },
    handler: async (message, request) => {
      const run = await runs.changeRun(deps, {
        principal: principalOf(request),
        runId: runIdOf(message),
        status: statusOf(message.status),
        endedMs: message.end_time,
        name: message.run_name,
      });
      return { run_info: toInfo(run) };
    },
  });
}

function registerMoves(app: FastifyInstance, deps: Deps): void {
  const permission = 'runs:write';
  for (const [path, stage] of [
    ['delete', 'deleted'],
    ['restore', 'active'],
  ] as const) {
    mountMlflow(app, {
      method: 'POST',
      path: `runs/${path}`,
      permission,
      table: ID,
      handler: async (message, request) => {
        const at = { principal: principalOf(request), runId: runIdOf(message) };
        await runs.moveRun(deps, { ...at, stage });
        return {};
      },
    });
  }
}

function registerReads(app: FastifyInstance, deps: Deps): void {
  const permission = 'runs:read';
  mountMlflow(app, {
    method: 'GET',
    path: 'runs/get',
    permission,
    table: ID,
    handler: async (message, request) => {
      await deps.metrics.settle();
      const { projectId } = principalOf(request);
      return { run: toWire(await runs.getRun(deps, { projectId, runId: runIdOf(message) })) };
    },
  });
  mountMlflow(app, {
    method: 'POST',
    path: 'runs/search',
    permission,
    table: {
      experiment_ids: { type: 'strings' },
      filter: { type: 'string' },
      run_view_type: { type: 'enum' },
      max_results: { type: 'int64' },
      order_by: { type: 'strings' },
      page_token: { type: 'string' },
    },
    handler: async (message, request) => {
      refuseFilter(message);
      await deps.metrics.settle();
      const found = await runs.searchRuns(deps, {
        projectId: principalOf(request).projectId,
        experimentIds: (message.experiment_ids ?? []).map(experimentIdOf),
        stages: stagesOf(message.run_view_type),
        maxResults: message.max_results,
        pageToken: message.page_token,
      });
      return { runs: found.runs.map(toWire), next_page_token: found.nextPageToken };
    },
  });
}

function pointOf(metric: Message<typeof METRIC>): MetricPoint {
  const { key, value, timestamp, step = 0 } = metric;
  return { key, value, timestampMs: timestamp, step };
}

function pairOf({ key, value = '' }: Message<typeof PAIR>): KeyValue {
  return { key, value };
}

function registerLogging(app: FastifyInstance, deps: Deps): void {
  const permission = 'runs:write';
  mountMlflow(app, {
    method: 'POST',
    path: 'runs/log-metric',
    permission,
    table: { ...ID, ...METRIC },
    handler: async (message, request) => {
      const metrics = [pointOf(message)];
      const to = { principal: principalOf(request), runId: runIdOf(message) };
      await logBatch(deps, { ...to, metrics, params: [], tags: [] });
      return {};
    },
  });
  mountMlflow(app, {
    method: 'POST',
    path: 'runs/log-parameter',
    permission,
    table: { ...ID, key: { type: 'string', required: true }, value: { type: 'string' } },
    handler: async (message, request) => {
      const params = [{ key: message.key, value: message.value ?? '' }];
      const to = { principal: principalOf(request), runId: runIdOf(message) };
      await logBatch(deps, { ...to, metrics: [], params, tags: [] });
      return {};
    },
  });
  mountMlflow(app, {
    method: 'POST',
    path: 'runs/log-batch',
    permission,
    table: {
      ...ID,
      metrics: { type: [METRIC] },
      params: { type: [PAIR] },
      tags: { type: [PAIR] },
    },
    handler: async (message, request) => {
      const runId = runIdOf(message);
      if (!RUN_ID.test(runId)) {
        const text = `Invalid value ${JSON.stringify(runId)} for parameter 'run_id' supplied.`;
        throw new AppError('INVALID_ARGUMENT', text);
      }
      await logBatch(deps, {
        principal: principalOf(request),
        runId,
        metrics: (message.metrics ?? []).map(pointOf),
        params: (message.params ?? []).map(pairOf),
        tags: (message.tags ?? []).map(pairOf),
      });
      return {};
    },
  });
}

function registerTags(app: FastifyInstance, deps: Deps): void {
  const permission = 'runs:write';
  mountMlflow(app, {
    method: 'POST',
    path: 'runs/set-tag',
    permission,
    table: { ...ID, key: { type: 'string', required: true }, value: { type: 'string' } },
    handler: async (message, request) => {
      const tags = [{ key: message.key, value: message.value ?? '' }];
      const to = { principal: principalOf(request), runId: runIdOf(message) };
      await logBatch(deps, { ...to, metrics: [], params: [], tags });
      return {};
    },
  });
  mountMlflow(app, {
    method: 'POST',
    path: 'runs/delete-tag',
    permission,
    table: { ...ID, key: { type: 'string', required: true } },
    handler: async (message, request) => {
      const to = { principal: principalOf(request), runId: runIdOf(message) };
      await runs.removeTag(deps, { ...to, key: message.key });
      return {};
    },
  });
}
