import { randomBytes } from 'node:crypto';
import { WorkflowFailedError } from '@temporalio/client';
import { openStarter } from '../../api/starter';
import { parseConfig } from '../../config/config';
import { planId } from '../../dag/plan-id';
import { getPipelineRun, listPipelineRuns, startPipelineRun } from '../../pipelines/pipeline-runs';
import { cancelPipelineRun } from '../../pipelines/run-controls';
import type { StartPipelineRun } from '../../schemas/pipeline-runs';
import {
  CONTROL_QUEUE,
  pipelineRunWorkflowId,
  RUN_PIPELINE,
  type RunPipelineInput,
  type RunPipelineResult,
} from '../../workflows/contract';
import { plan, step } from '../support/plans';
import { openWorkflowLab, untilAborted, type WorkflowLab } from '../support/workflow-lab';

const projectId = 'default';
let lab: WorkflowLab;
beforeAll(async () => {
  lab = await openWorkflowLab();
});
afterAll(() => lab.close());
beforeEach(() => {
  lab.bodies = {};
});

function startAs(input: Partial<StartPipelineRun>): ReturnType<typeof startPipelineRun> {
  const start = { plan: plan([step('a')]), params: {}, ...input };
  return startPipelineRun(
    { postgres: lab.database.postgres, starter: lab.starter },
    { projectId, start },
  );
}
/** Starts the workflow with nothing but @temporalio/client, as a stranger would. */
function directly(workflowId: string, input: RunPipelineInput): Promise<RunPipelineResult> {
  return lab.env.client.workflow.execute(RUN_PIPELINE, {
    workflowId,
    taskQueue: CONTROL_QUEUE,
    args: [input],
  });
}
async function failureOf(work: Promise<unknown>): Promise<{ type: unknown; message: string }> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(WorkflowFailedError);
  const { cause } = error as WorkflowFailedError;
  return {
    type: cause !== undefined && 'type' in cause ? cause.type : undefined,
    message: cause?.message ?? '',
  };
}
async function resultOf(runId: string): Promise<unknown> {
  return lab.env.client.workflow.getHandle(pipelineRunWorkflowId(runId)).result();
}

describe('starting over the api', () => {
  it('shows the run at once and runs it', async () => {
    const run = await startAs({ codeDigest: 'a'.repeat(64) });
    expect(run).toMatchObject({ pipeline: 'test', codeDigest: 'a'.repeat(64), reason: null });
    expect(run.planId).toBe(planId(plan([step('a')])));
    expect(await resultOf(run.id)).toMatchObject({ status: 'succeeded', runId: run.id });
    const ended = await getPipelineRun(lab.database, { projectId, id: run.id });
    expect(ended.status).toBe('succeeded');
  });

  it('starts one run for a run key, however often and from wherever it is sent', async () => {
    const many = await Promise.all(Array.from({ length: 5 }, () => startAs({ runKey: 'nightly' })));
    const ids = new Set(many.map((run) => run.id));
    expect(ids.size).toBe(1);
    const [id = ''] = ids;
    await resultOf(id);
    expect((await startAs({ runKey: 'nightly' })).id).toBe(id); // also after its end
    const rows = await lab.database.postgres.query(
      "SELECT id FROM pipeline_runs WHERE run_key = 'nightly'",
    );
    expect(rows).toEqual([{ id }]);
  });

  it('refuses a run key that comes again with another plan or other params', async () => {
    const tuned = plan([step('a')], { lr: { type: 'number', default: 1 } });
    const { id } = await startAs({ plan: tuned, runKey: 'tuned' });
    expect((await startAs({ plan: tuned, params: { lr: 1 }, runKey: 'tuned' })).id).toBe(id);
    for (const other of [{ plan: tuned, params: { lr: 2 } }, { plan: plan([step('b')]) }]) {
      await expect(startAs({ ...other, runKey: 'tuned' })).rejects.toMatchObject({
        code: 'ALREADY_EXISTS',
        message: expect.stringContaining(id) as unknown,
      });
    }
  });

  it('starts a new run each time without a run key', async () => {
    const [one, two] = await Promise.all([startAs({}), startAs({})]);
    expect(one.id).not.toBe(two.id);
  });

  it('lists every problem of plan and params, and starts nothing', async () => {
    const wrong = plan([step('a', { after: ['nowhere'], if: '1 +' })]);
    await expect(startAs({ plan: wrong, runKey: 'wrong' })).rejects.toMatchObject({
      code: 'INVALID_PLAN',
      problems: [{ path: 'steps.a.after[0]' }, { path: 'steps.a.if' }],
    });
    const needy = plan([step('a')], { lr: { type: 'number' } });
    await expect(startAs({ plan: needy, params: { rate: 1 } })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      problems: [{ path: 'params.rate' }, { path: 'params.lr' }],
    });
    const hidden = { ...plan([step('a'), step('b', { after: ['a'] })]) };
    const untrue = hidden.steps.map((s) => ({ ...s, needs: [] }));
    await expect(startAs({ plan: { ...hidden, steps: untrue } })).rejects.toMatchObject({
      code: 'INVALID_PLAN',
      problems: [{ path: 'steps.b.needs' }],
    });
  });

  it('writes nothing while Temporal is down', async () => {
    const starter = openStarter(parseConfig({ TEMPORAL_ADDRESS: '127.0.0.1:1' }));
    const start = { plan: plan([step('unheard')]), params: {}, runKey: 'unheard' };
    const deps = { postgres: lab.database.postgres, starter };
    await expect(startPipelineRun(deps, { projectId, start })).rejects.toMatchObject({
      code: 'TEMPORAL_UNAVAILABLE',
    });
    await starter.close();
    const rows = await lab.database.postgres.query(
      "SELECT id FROM plans WHERE id = $1 UNION ALL SELECT id FROM pipeline_runs WHERE run_key = 'unheard'",
      [planId(start.plan)],
    );
    expect(rows).toEqual([]);
  });

  it('pages through the runs, newest first, each once', async () => {
    for (let i = 0; i < 5; i += 1) await startAs({ plan: { ...plan([step('a')]), name: 'paged' } });
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const list = { projectId, limit: 2, after, status: undefined, pipeline: 'paged' };
      const page = await listPipelineRuns(lab.database, list);
      seen.push(...page.runs.map((run) => run.id));
      after = page.next ?? undefined;
    } while (after !== undefined);
    const rows = await lab.database.postgres.query<{ id: string }>(
      "SELECT id FROM pipeline_runs WHERE pipeline = 'paged' ORDER BY created_at DESC, id",
    );
    expect(seen).toHaveLength(5);
    expect(seen).toEqual(rows.map((row) => row.id));
  });

  it('ends a run whose workflow was terminated, as soon as it is cancelled', async () => {
    lab.bodies = { a: async (_input, signal) => untilAborted(signal).then(() => ({})) };
    const run = await startAs({});
    await lab.env.client.workflow.getHandle(pipelineRunWorkflowId(run.id)).terminate();
    const deps = { postgres: lab.database.postgres, starter: lab.starter };
    const ended = await cancelPipelineRun(deps, { actor: 'ada', projectId, id: run.id });
    expect(ended).toMatchObject({
      status: 'cancelled',
      reason: 'its workflow was ended from outside',
    });
    await expect(
      cancelPipelineRun(deps, { actor: 'ada', projectId, id: run.id }),
    ).rejects.toMatchObject({
      code: 'INVALID_STATE',
    });
  });
});

describe('starting with @temporalio/client alone', () => {
  it('makes a full run, found under the id of the workflow', async () => {
    const workflowId = `mine-${randomBytes(4).toString('hex')}`;
    const input = {
      plan: plan([step('a')], { lr: { type: 'number', default: 0.5 } }),
      params: { lr: 0.25 },
    };
    const result = await directly(workflowId, input);
    expect(result).toEqual({ runId: workflowId, status: 'succeeded', outputs: { a: {} } });
    const run = await getPipelineRun(lab.database, { projectId, id: workflowId });
    expect(run).toMatchObject({ status: 'succeeded', params: { lr: 0.25 } });
    // a stored plan by its id, and the id behind the prefix
    const again = await directly(pipelineRunWorkflowId('again'), { planId: run.planId });
    expect(again.runId).toBe('again');
    expect((await getPipelineRun(lab.database, { projectId, id: 'again' })).params).toEqual({
      lr: 0.5,
    });
  });

  it('fails the workflow with every problem of a bad plan', async () => {
    const broken = { ...plan([step('a', { if: 'params.nothing' })]), version: 1 as const };
    const failure = await failureOf(directly('bad-plan', { plan: broken }));
    expect(failure.type).toBe('INVALID_PLAN');
    expect(failure.message).toContain("there is no 'params.nothing'");
    const noPlan = await failureOf(directly('no-plan', {}));
    expect(noPlan).toEqual({
      type: 'INVALID_ARGUMENT',
      message: "Give exactly one of 'plan' and 'planId'.",
    });
    const unknown = await failureOf(directly('unknown-plan', { planId: 'f'.repeat(64) }));
    expect(unknown.type).toBe('NOT_FOUND');
    const project = await failureOf(
      directly('no-project', { projectId: 'nowhere', plan: plan([step('a')]) }),
    );
    expect(project).toEqual({ type: 'NOT_FOUND', message: "No project 'nowhere' was found." });
  });

  it('does not run an ended run a second time', async () => {
    let times = 0;
    lab.bodies = {
      a: () => {
        times += 1;
        return Promise.resolve({});
      },
    };
    await directly('twice', { plan: plan([step('a')]) });
    const failure = await failureOf(directly('twice', { plan: plan([step('a')]) }));
    expect(failure.type).toBe('ALREADY_EXISTS');
    expect(times).toBe(1);
    const run = await getPipelineRun(lab.database, { projectId, id: 'twice' });
    expect(run.status).toBe('succeeded');
  });
});
