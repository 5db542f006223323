import type { FastifyInstance } from 'fastify';
import { createApp } from '../../api/app';
import { USER_PERMISSIONS } from '../../api/auth/permissions';
import { registerDeployments } from '../../api/routes/v1/deployments';
import { registerHooks } from '../../api/routes/v1/hooks';
import { createToken } from '../../api/auth/tokens';
import { registerPipelineRuns } from '../../api/routes/v1/pipeline-runs';
import { registerSchedules } from '../../api/routes/v1/schedules';
import { listPipelineRuns } from '../../pipelines/pipeline-runs';
import type { DeployAnswer, ShownPipeline } from '../../schemas/deployments';
import type { PipelineRun } from '../../schemas/pipeline-runs';
import { callHttp, type HttpReply } from './http';
import { plan, step } from './plans';
import { openWorkflowLab, type WorkflowLab } from './workflow-lab';

/** A workflow lab with an api that deploys pipelines; ada calls it. */
export interface DeploymentsLab extends WorkflowLab {
  readonly base: string;
  call(method: string, path: string, body?: object): Promise<HttpReply>;
  /** Deploys a pipeline of one step `a` and one param `word`; the reply must be 200. */
  deploy(name: string, extra?: object): Promise<DeployAnswer>;
  show(name: string): Promise<ShownPipeline>;
  /** The runs of a deployed pipeline, newest first. */
  runsOf(name: string): Promise<PipelineRun[]>;
}

const projectId = 'default';
/** The plan that `deploy` deploys. */
export const WORD_PLAN = plan([step('a')], { word: { type: 'string', default: 'none' } });

/** Opens everything; `close` ends it. */
export async function openDeploymentsLab(
  more: (app: FastifyInstance, lab: WorkflowLab) => void = () => undefined,
): Promise<DeploymentsLab> {
  const lab = await openWorkflowLab();
  const app = await createApp({
    authenticate: () => {
      const who = { kind: 'user', name: 'ada', permissions: USER_PERMISSIONS } as const;
      return Promise.resolve({ ...who, projectId });
    },
    routes: (routes) => {
      const deps = lab.parts;
      registerPipelineRuns(routes, deps);
      registerSchedules(routes, deps);
      registerDeployments(routes, { ...deps, createToken });
      registerHooks(routes, deps);
      more(routes, lab);
    },
  });
  const base = `${await app.listen({ host: '127.0.0.1', port: 0 })}/api/v1`;
  const call: DeploymentsLab['call'] = (method, path, body) => {
    const headers = { 'content-type': 'application/json' };
    const text = body === undefined ? {} : { headers, body: JSON.stringify(body) };
    return callHttp(`${base}${path}`, { method, ...text });
  };
  return Object.assign(lab, {
    base,
    call,
    async deploy(name: string, extra: object = {}) {
      const reply = await call('PUT', `/pipelines/${name}`, { plan: WORD_PLAN, ...extra });
      expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
      return reply.json<DeployAnswer>();
    },
    async show(name: string) {
      return (await call('GET', `/pipelines/${name}`)).json<ShownPipeline>();
    },
    async runsOf(name: string) {
      const all = { projectId, status: undefined, pipeline: undefined, after: undefined };
      const { runs } = await listPipelineRuns(lab.database, { ...all, limit: 200 });
      return runs.filter(({ trigger }) => trigger?.deployment?.name === name);
    },
    close: closeBoth(app, lab.close),
  });
}

function closeBoth(app: FastifyInstance, close: () => Promise<void>): () => Promise<void> {
  return async () => {
    await app.close();
    await close();
  };
}
