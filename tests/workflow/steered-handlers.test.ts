import { getPipelineRun } from '../../pipelines/pipeline-runs';
import { cancelPipelineRun, controlPipelineRun } from '../../pipelines/run-controls';
import { listTransitions } from '../../pipelines/transitions';
import type { PipelineRun } from '../../schemas/pipeline-runs';
import { listAudit } from '../../storage/postgres/audit';
import { compileYaml } from '../../sdk/pipeline-yaml';
import {
  CONTROL_QUEUE,
  MODEL_ALIASES,
  pipelineRunWorkflowId,
  type ControlRun,
} from '../../workflows/contract';
import { gate } from '../support/gate';
import { openWorkflowLab, type StartedRun, type WorkflowLab, tick } from '../support/workflow-lab';

const projectId = 'default';
let lab: WorkflowLab;
beforeAll(async () => {
  lab = await openWorkflowLab();
});
afterAll(() => lab.close());
beforeEach(() => {
  lab.bodies = {};
});

const PLAN = compileYaml(`
version: 1
name: p
steps:
  a: { run: work }
always:
  - { name: h1, run: work }
  - { name: h2, run: work }
`);
const PAUSE = { action: 'pause', actor: 'ada', reason: 'wait' } as const;
const CONTINUE = { action: 'continue', actor: 'ada', reason: 'go on' } as const;
function skip(stepKey: string): ControlRun {
  return { action: 'skip', actor: 'ada', reason: 'it hangs', stepKey };
}

function control({ runId: id }: StartedRun, asked: ControlRun): Promise<PipelineRun> {
  const deps = { postgres: lab.database.postgres, starter: lab.starter };
  return controlPipelineRun(deps, { projectId, id }, asked);
}
function cancel({ runId: id }: StartedRun): Promise<PipelineRun> {
  const deps = { postgres: lab.database.postgres, starter: lab.starter };
  return cancelPipelineRun(deps, { actor: 'ada', projectId, id });
}
/** Who has done what, newest first. */
async function auditOf({ runId }: StartedRun): Promise<string[]> {
  const wanted = { projectId, subject: `pipeline-run/${runId}`, limit: 10 };
  const audit = await listAudit(lab.database.postgres, wanted);
  return audit.map(({ actor, action }) => `${actor} ${action}`);
}
async function statesOf({ runId }: StartedRun, key: string): Promise<string[]> {
  const all = await listTransitions(lab.database, { projectId, runId, after: 0, limit: 100 });
  return all.filter(({ stepKey }) => stepKey === key).map(({ state }) => state);
}

describe('exit handlers of a run that is steered', () => {
  it('are not cancelled: that comes too late, and changes nothing', async () => {
    const first = gate();
    lab.bodies = { 'always.h1': first.body };
    const run = await lab.start({ plan: PLAN });
    await first.begun;
    expect(await control(run, PAUSE)).toMatchObject({ isPaused: true });
    await expect(cancel(run)).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining(`anneal run skip ${run.runId} always.h1`) as string,
    });
    expect(await auditOf(run)).toEqual(['ada pipeline-run.pause']);
    await run.cancel(); // past us, at Temporal: it ends the pause
    first.open();
    expect((await run.result()).status).toBe('succeeded'); // its steps had ended before the cancel
    expect(await auditOf(run)).toContain('anneal pipeline-run.continue');
    expect(await lab.statuses(run.runId)).toEqual({
      a: 'succeeded',
      'always.h1': 'succeeded',
      'always.h2': 'succeeded',
    });
  });

  it('take every change after a cancel, but for a pause', async () => {
    const [work, first] = [gate(), gate()];
    lab.bodies = { a: work.body, 'always.h1': first.body };
    const run = await lab.start({ plan: PLAN });
    await work.begun;
    await control(run, PAUSE);
    expect(await cancel(run)).toMatchObject({ isPaused: false });
    await first.begun;
    expect((await auditOf(run)).sort()).toEqual([
      'ada pipeline-run.cancel',
      'ada pipeline-run.pause',
      'anneal pipeline-run.continue', // the pause has ended with it
    ]);
    await expect(control(run, PAUSE)).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining('the run was cancelled') as string,
    });
    await expect(
      control(run, { ...CONTINUE, action: 'retry', stepKey: 'always.h1' }),
    ).rejects.toThrow("the step 'always.h1' has not failed");
    expect(await control(run, CONTINUE)).toMatchObject({ isPaused: false });
    const urgent = { ...CONTINUE, action: 'priority', priority: 1 } as const;
    expect(await control(run, urgent)).toMatchObject({ priority: 1, isPaused: false });
    await control(run, skip('always.h1'));
    expect((await run.result()).status).toBe('cancelled');
    expect(await lab.statuses(run.runId)).toEqual({
      a: 'cancelled',
      'always.h1': 'skipped',
      'always.h2': 'succeeded',
    });
  });

  it('have the priority that the run has by then', async () => {
    const work = gate();
    lab.bodies = { a: work.body };
    const run = await lab.start({ plan: PLAN, priority: 4 });
    await work.begun;
    await control(run, { ...CONTINUE, action: 'priority', priority: 2 });
    work.open();
    await run.result();
    const handle = lab.env.client.workflow.getHandle(pipelineRunWorkflowId(run.runId));
    const { events } = await handle.fetchHistory();
    const scheduled = (events ?? []).flatMap((e) => e.activityTaskScheduledEventAttributes ?? []);
    const keys = scheduled.map(({ activityId, priority }) => [activityId, priority?.priorityKey]);
    expect(Object.fromEntries(keys)).toMatchObject({
      'a#1': 4,
      'always.h1#1': 2,
      'always.h2#1': 2,
    });
  });

  it('are told from steps: neither is changed while the other is due', async () => {
    const [work, first] = [gate(), gate()];
    lab.bodies = { a: work.body, 'always.h1': first.body };
    const run = await lab.start({ plan: PLAN });
    await work.begun;
    await expect(control(run, skip('always.h1'))).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining("'always.h1' is a handler") as string,
    });
    await expect(control(run, skip('always.h3'))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    work.open(true);
    await first.begun;
    await expect(
      control(run, { ...CONTINUE, action: 'retry', stepKey: 'a' }),
    ).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining(`anneal run resume ${run.runId} --from a`) as string,
    });
    first.open();
    expect((await run.result()).status).toBe('failed');
  });

  it('wait while the run is paused, and can be skipped meanwhile', async () => {
    const work = gate();
    lab.bodies = { a: work.body };
    const run = await lab.start({ plan: PLAN });
    await work.begun;
    await control(run, PAUSE);
    work.open();
    while ((await lab.statuses(run.runId))['always.h1'] === undefined) await tick();
    await control(run, skip('always.h1'));
    await control(run, CONTINUE);
    expect((await run.result()).status).toBe('succeeded');
    expect(await statesOf(run, 'always.h1')).toEqual(['skipped']); // it never began
    const { isPaused } = await getPipelineRun(lab.database, { projectId, id: run.runId });
    expect(isPaused).toBe(false);
  });
});

describe('a change that a workflow fails to take', () => {
  it('is a mistake of ours, with the cause of it', async () => {
    const handle = await lab.env.client.workflow.start(MODEL_ALIASES, {
      workflowId: pipelineRunWorkflowId('no-run'),
      taskQueue: CONTROL_QUEUE,
      args: [{ projectId, model: 'm' }],
    });
    const answer = lab.starter.controlPipelineRun('no-run', PAUSE);
    await expect(answer).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringMatching(
        /^The workflow failed to take the change: .*controlRun/,
      ) as string,
      cause: { name: 'WorkflowUpdateFailedError' },
    });
    await handle.terminate();
  });
});
