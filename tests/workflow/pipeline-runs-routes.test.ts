import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { createApp } from '../../api/app';
import { registerPipelineRuns } from '../../api/routes/v1/pipeline-runs';
import { registerSteps } from '../../api/routes/v1/steps';
import type { Permission } from '../../schemas/tokens';
import type { PipelineRun, Step, Transition } from '../../schemas/pipeline-runs';
import { pipelineRunWorkflowId } from '../../workflows/contract';
import { callHttp, type HttpReply } from '../support/http';
import { plan, step } from '../support/plans';
import { openWorkflowLab, type WorkflowLab } from '../support/workflow-lab';

let base: string;
let lab: WorkflowLab;
let app: FastifyInstance;
let permissions: Permission[] = ['pipelines:read', 'pipelines:write'];
let projectId = 'default';
beforeAll(async () => {
  lab = await openWorkflowLab();
  app = await createApp({
    authenticate: () =>
      Promise.resolve({
        kind: 'user',
        name: 'tester',
        projectId,
        permissions: new Set(permissions),
      }),
    routes: (routes) => {
      const deps = lab.parts;
      registerPipelineRuns(routes, deps);
      registerSteps(routes, deps);
    },
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  base = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/api/v1/pipeline-runs`;
});
afterAll(async () => {
  await app.close();
  await lab.close();
});
beforeEach(() => {
  permissions = ['pipelines:read', 'pipelines:write'];
  projectId = 'default';
});

function get(path: string): Promise<HttpReply> {
  return callHttp(`${base}${path}`);
}
function post(path: string, payload: unknown): Promise<HttpReply> {
  const headers = { 'content-type': 'application/json' };
  return callHttp(`${base}${path}`, { method: 'POST', headers, body: JSON.stringify(payload) });
}
type StepPage = { steps: Step[]; next: string | null };
async function started(): Promise<PipelineRun> {
  const payload = { plan: plan([step('a'), step('b', { after: ['a'] })]) };
  const reply = await post('', payload);
  expect(reply.status).toBe(201);
  return reply.json<PipelineRun>();
}

describe('/api/v1/pipeline-runs', () => {
  it('starts a run and shows it, its steps and what happened', async () => {
    const { id } = await started();
    await lab.env.client.workflow.getHandle(pipelineRunWorkflowId(id)).result();
    const run = (await get(`/${id}`)).json<PipelineRun>();
    expect(run).toMatchObject({ id, status: 'succeeded', pipeline: 'test' });
    const { steps } = (await get(`/${id}/steps`)).json<{ steps: Step[] }>();
    expect(steps.map((s) => [s.key, s.status])).toEqual([
      ['a', 'succeeded'],
      ['b', 'succeeded'],
    ]);
    expect(run).toMatchObject({ steps: { total: 2, byStatus: { succeeded: 2 } } });
    const first = (await get(`/${id}/steps?limit=1`)).json<StepPage>();
    expect([first.steps.map((s) => s.key), first.next]).toEqual([['a'], 'a']);
    const second = (await get(`/${id}/steps?limit=1&after=a`)).json<StepPage>();
    expect([second.steps.map((s) => s.key), second.next]).toEqual([['b'], null]);
    expect((await get(`/${id}/steps?status=failed`)).json()).toEqual({ steps: [], next: null });
    expect((await get(`/${id}/steps/b`)).json()).toEqual(steps[1]);
    expect((await get(`/${id}/steps/c`)).status).toBe(404);
    expect((await get(`/${id}/graph`)).json()).toMatchObject({
      nodes: [{ key: 'a' }, { key: 'b', kind: 'step', status: 'succeeded' }],
      edges: [{ from: 'a', to: 'b' }],
    });
    type Seen = { transitions: Transition[] };
    const all = (await get(`/${id}/transitions`)).json<Seen>().transitions;
    expect(all).toHaveLength(6); // ready, started, succeeded of each
    const after = all[3]?.id ?? 0;
    const rest = (await get(`/${id}/transitions?after=${after}`)).json<Seen>();
    expect(rest.transitions).toEqual(all.slice(4));
    const page = (await get(`?limit=1`)).json<{ runs: PipelineRun[] }>();
    expect(page.runs.map((r) => r.id)).toEqual([id]);
    const late = await post(`/${id}/cancel`, {});
    expect([late.status, late.json<{ code: string }>().code]).toEqual([409, 'INVALID_STATE']);
  });

  it('resumes a run that has ended, or says what would become of its steps', async () => {
    const { id } = await started();
    await lab.env.client.workflow.getHandle(pipelineRunWorkflowId(id)).result();
    const dry = await post(`/${id}/resume`, { dryRun: true, from: 'b' });
    expect([dry.status, dry.json()]).toEqual([
      200,
      {
        steps: [
          { key: 'a', outcome: 'reuse', reason: `same content as run ${id}, step a` },
          { key: 'b', outcome: 'run', reason: 'it was asked to run again' },
        ],
      },
    ]);
    const resumed = await post(`/${id}/resume`, {});
    expect(resumed.status).toBe(201);
    expect(resumed.json<PipelineRun>()).toMatchObject({ resumedFrom: id, pipeline: 'test' });
    const { id: next } = resumed.json<PipelineRun>();
    await lab.env.client.workflow.getHandle(pipelineRunWorkflowId(next)).result();
    expect((await get(`/${id}/diff/${next}`)).json()).toEqual({
      pipeline: null,
      planId: null,
      codeDigest: null,
      git: null,
      params: [],
      steps: [],
      environments: [],
    });
    expect((await get(`/${id}/diff/nobody`)).status).toBe(404);
    const wrong = await post(`/${id}/resume`, { from: 'c' });
    expect([wrong.status, wrong.json<{ code: string }>().code]).toEqual([400, 'INVALID_ARGUMENT']);
    permissions = ['pipelines:read'];
    expect((await post(`/${id}/resume`, {})).status).toBe(403);
  });

  it('answers 400 with every problem of a plan', async () => {
    const payload = { plan: plan([step('a', { after: ['x'], if: 'params.y' })]) };
    const reply = await post('', payload);
    expect(reply.status).toBe(400);
    const body = reply.json<{ code: string; errors: { path: string }[] }>();
    expect(body.code).toBe('INVALID_PLAN');
    expect(body.errors.map((e) => e.path)).toEqual(['steps.a.after[0]', 'steps.a.if']);
  });

  it('says what would become of each step, and starts nothing', async () => {
    const given = { ...plan([step('a', { argv: ['forecast'], cache: {} })]), name: 'forecast' };
    const reply = await post('', { plan: given, dryRun: true });
    expect(reply.status).toBe(200);
    const reason = 'no result: no step a of forecast has succeeded before';
    expect(reply.json()).toEqual({ steps: [{ key: 'a', outcome: 'run', reason }] });
    expect((await get('?pipeline=forecast')).json()).toMatchObject({ runs: [] });
    expect((await post('', { plan: given, dryRun: 'yes' })).status).toBe(400);
  });

  it('hides runs of other projects and asks for the right to start', async () => {
    const { id } = await started();
    projectId = 'other';
    for (const path of ['', '/steps', '/steps/a', '/graph', '/transitions']) {
      expect((await get(`/${id}${path}`)).status).toBe(404);
    }
    const stop = await post(`/${id}/cancel`, {});
    expect(stop.status).toBe(404);
    projectId = 'default';
    permissions = ['pipelines:read'];
    const payload = { plan: plan([step('a')]) };
    expect((await post('', payload)).status).toBe(403);
  });

  it('refuses a cursor that it never gave', async () => {
    for (const after of ['nonsense', Buffer.from('2026-13-99T99:99:99Z x').toString('base64url')]) {
      expect((await get(`?after=${after}`)).status).toBe(400);
    }
  });
});
