import type { FastifyInstance } from 'fastify';
import type { Postgres } from '../../../storage/postgres/client';
import type { Metrics } from '../../../tracker/metrics';
import { checkMaxResults } from '../../../tracker/limits';
import { findRun } from '../../../tracker/runs';
import { principalOf } from '../../app';
import { runIdOf } from './runs';
import { mountMlflow, writeDouble } from './wire';

/** Clients ask for 25,000 points a page; unset means the same. */
const PAGE_POINTS_MAX = 25_000;

/** Mounts metrics/get-history: every point of a series by timestamp, step, value. */
export function registerMlflowMetrics(
  app: FastifyInstance,
  deps: { readonly postgres: Postgres; readonly metrics: Metrics },
): void {
  mountMlflow(app, {
    method: 'GET',
    path: 'metrics/get-history',
    permission: 'runs:read',
    table: {
      run_id: { type: 'string' },
      run_uuid: { type: 'string' },
      metric_key: { type: 'string', required: true },
      max_results: { type: 'int64' },
      page_token: { type: 'string' },
    },
    handler: async (message, request) => {
      const { projectId } = principalOf(request);
      const runId = runIdOf(message);
      await findRun(deps, { projectId, runId }); // NOT_FOUND before an empty history
      const range = { most: Number.MAX_SAFE_INTEGER, unset: PAGE_POINTS_MAX };
      const asked = checkMaxResults(message.max_results, range);
      const { points, nextPageToken } = await deps.metrics.history({
        projectId,
        runId,
        key: message.metric_key,
        maxResults: Math.min(asked, PAGE_POINTS_MAX),
        pageToken: message.page_token,
      });
      const metrics = points.map((point) => ({
        key: message.metric_key,
        value: writeDouble(point.value),
        timestamp: point.timestampMs,
        step: point.step,
      }));
      return { metrics, next_page_token: nextPageToken };
    },
  });
}
