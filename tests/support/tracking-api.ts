import { createApp } from '../../api/app';
import { createAuthenticate } from '../../api/auth/authenticate';
import { createToken } from '../../api/auth/tokens';
import { registerMlflowExperiments } from '../../api/routes/mlflow/experiments';
import { registerMlflowMetrics } from '../../api/routes/mlflow/metrics';
import { registerMlflowRuns } from '../../api/routes/mlflow/runs';
import { registerMlflowServer } from '../../api/routes/mlflow/server';
import { insertToken } from '../../storage/postgres/tokens';
import { callHttp, type HttpReply } from './http';
import { startMetricStack, type MetricStack } from './metrics';

/** Whose token a request carries. */
export interface TestAttempt {
  readonly runId: string;
  readonly stepKey: string;
  readonly attempt: number;
}
/** MLflow's tracking routes on a real socket, over the real write path. */
export interface TrackingApi {
  readonly url: string;
  readonly stack: MetricStack;
  post(path: string, body: unknown, token?: string): Promise<HttpReply>;
  get(path: string, query: Readonly<Record<string, string>>): Promise<HttpReply>;
  /** Like `post`, and throws unless the answer is 200; the body as JSON. */
  made<T>(path: string, body: unknown, token?: string): Promise<T>;
  /** The id of a new experiment with a name of its own. */
  newExperiment(): Promise<string>;
  /** The id of a new run in an experiment of its own, unless one is named. */
  newRun(experimentId?: string): Promise<string>;
  /** Begins an attempt of a step, made with its pipeline run if need be; the attempt's token. */
  beginAttempt(attempt: TestAttempt): Promise<string>;
  close(): Promise<void>;
}

/** Serves them to the local user and to attempts; close it at the end. */
export async function startTrackingApi(): Promise<TrackingApi> {
  const stack = await startMetricStack('embedded');
  const { postgres } = stack.database;
  const deps = { postgres, metrics: stack.metrics };
  const app = await createApp({
    authenticate: createAuthenticate({
      postgres,
      config: { ANNEAL_AUTH: 'open', ANNEAL_PORT: 0 },
    }),
    routes: (routes) => {
      registerMlflowServer(routes);
      registerMlflowExperiments(routes, deps);
      registerMlflowRuns(routes, deps);
      registerMlflowMetrics(routes, deps);
    },
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const prefix = `${url}/api/2.0/mlflow`;
  let made = 0;
  const api: TrackingApi = {
    url,
    stack,
    post(path, body, token) {
      const bearer = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const headers = { 'content-type': 'application/json', ...bearer };
      return callHttp(`${prefix}/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    },
    get: (path, query) => callHttp(`${prefix}/${path}?${new URLSearchParams(query).toString()}`),
    async made(path, body, token) {
      const reply = await api.post(path, body, token);
      if (reply.status !== 200) throw new Error(`${path}: ${reply.status} ${reply.text}`);
      return reply.json();
    },
    async newExperiment() {
      made += 1;
      const body = { name: `experiment ${made}` };
      return (await api.made<{ experiment_id: string }>('experiments/create', body)).experiment_id;
    },
    async newRun(experimentId) {
      const body = { experiment_id: experimentId ?? (await api.newExperiment()), start_time: 1 };
      const { run } = await api.made<{ run: { info: { run_id: string } } }>('runs/create', body);
      return run.info.run_id;
    },
    async beginAttempt(attempt) {
      await insertAttempt(stack, attempt);
      const { text, hash } = createToken('attempt');
      const row = { projectId: 'default', kind: 'attempt', hash, name: 'a step' } as const;
      await insertToken(postgres, { ...row, permissions: [], attempt });
      return text;
    },
    async close() {
      await app.close();
      await stack.close();
    },
  };
  return api;
}

async function insertAttempt(stack: MetricStack, at: TestAttempt): Promise<void> {
  const { postgres } = stack.database;
  await postgres.query(
    `INSERT INTO plans (project_id, id, plan) VALUES ('default', 'plan', '{}')
    ON CONFLICT DO NOTHING`,
  );
  await postgres.query(
    `INSERT INTO pipeline_runs (project_id, id, plan_id, pipeline, params, status)
    VALUES ('default', $1, 'plan', 'test', '{}', 'running') ON CONFLICT DO NOTHING`,
    [at.runId],
  );
  await postgres.query(
    `INSERT INTO steps (project_id, run_id, key, index, spec, status)
    VALUES ('default', $1, $2, 0, '{}', 'running') ON CONFLICT DO NOTHING`,
    [at.runId, at.stepKey],
  );
  await postgres.query(
    `INSERT INTO attempts (project_id, run_id, step_key, attempt, node, status)
    VALUES ('default', $1, $2, $3, 'here', 'running')`,
    [at.runId, at.stepKey, at.attempt],
  );
}
