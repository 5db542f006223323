import { getPipelineRun } from '../../pipelines/pipeline-runs';
import { controlPipelineRun } from '../../pipelines/run-controls';
import { listSteps } from '../../pipelines/step-reasons';
import { listAudit } from '../../storage/postgres/audit';
import type { ControlRun } from '../../workflows/contract';
import { gate } from '../support/gate';
import { plan, step } from '../support/plans';
import {
  openWorkflowLab,
  stepFailure,
  type StartedRun,
  type WorkflowLab,
  tick,
} from '../support/workflow-lab';

const projectId = 'default';
let lab: WorkflowLab;
beforeAll(async () => {
  lab = await openWorkflowLab();
});
afterAll(() => lab.close());
beforeEach(() => {
  lab.bodies = {};
});

const who = { actor: 'ada', reason: 'as agreed' } as const;
type Asked = ControlRun extends infer C
  ? C extends unknown
    ? Omit<C, keyof typeof who>
    : never
  : never;

function control(run: StartedRun, asked: Asked): Promise<unknown> {
  const deps = { postgres: lab.database.postgres, starter: lab.starter };
  const key = { projectId, id: run.runId };
  return controlPipelineRun(deps, key, { ...asked, ...who });
}
describe('a run that is steered', () => {
  it('starts nothing while it is paused, and lets go on what runs', async () => {
    const first = gate();
    lab.bodies = { first: first.body };
    const run = await lab.start({
      plan: plan([step('first'), step('then', { after: ['first'] })]),
    });
    await first.begun;
    expect(await control(run, { action: 'pause' })).toMatchObject({ isPaused: true });
    first.open();
    // the next change proves that the end of the first step was seen, and nothing started
    while ((await lab.statuses(run.runId))['first'] !== 'succeeded') await tick();
    await control(run, { action: 'priority', priority: 1 });
    expect(await lab.statuses(run.runId)).toEqual({ first: 'succeeded', then: 'waiting' });
    expect(await control(run, { action: 'continue' })).toMatchObject({
      isPaused: false,
      priority: 1,
    });
    expect((await run.result()).status).toBe('succeeded');
    const subject = `pipeline-run/${run.runId}`;
    const audit = await listAudit(lab.database.postgres, { projectId, subject, limit: 10 });
    expect(audit.map(({ actor, action }) => `${actor} ${action}`)).toEqual([
      'ada pipeline-run.continue',
      'ada pipeline-run.priority',
      'ada pipeline-run.pause',
    ]);
  });

  it('skips a step that runs and one that waits, and what needs only them', async () => {
    const first = gate();
    const other = gate();
    lab.bodies = { first: first.body, other: other.body };
    const run = await lab.start({
      plan: plan([
        step('first'),
        step('other'),
        step('then', { after: ['first'] }),
        step('late', { after: ['other'] }),
      ]),
    });
    await Promise.all([first.begun, other.begun]);
    await control(run, { action: 'skip', stepKey: 'late' });
    await control(run, { action: 'skip', stepKey: 'first' });
    other.open();
    expect((await run.result()).status).toBe('succeeded');
    expect(await lab.statuses(run.runId)).toEqual({
      first: 'skipped',
      other: 'succeeded',
      then: 'skipped',
      late: 'skipped',
    });
    const steps = await listSteps(lab.database, { projectId, runId: run.runId });
    expect(steps.find(({ key }) => key === 'first')?.reason).toBe('skipped by ada: as agreed');
  });

  it('runs a failed step again, with what it had blocked', async () => {
    const other = gate();
    let isBroken = true;
    const attempts: number[] = [];
    lab.bodies = {
      other: other.body,
      flaky: ({ attempt }) => {
        attempts.push(attempt);
        if (isBroken) return Promise.reject(stepFailure('data', 'no such table'));
        return Promise.resolve({});
      },
    };
    const run = await lab.start({
      plan: plan([step('other'), step('flaky'), step('then', { after: ['flaky'] })]),
    });
    await other.begun;
    while ((await lab.statuses(run.runId))['then'] !== 'skipped') await tick();
    isBroken = false;
    await control(run, { action: 'retry', stepKey: 'flaky' });
    while ((await lab.statuses(run.runId))['then'] !== 'succeeded') await tick();
    other.open();
    expect((await run.result()).status).toBe('succeeded');
    expect(attempts).toEqual([1, 2]);
    expect(await lab.statuses(run.runId)).toEqual({
      other: 'succeeded',
      flaky: 'succeeded',
      then: 'succeeded',
    });
  });

  it('has a deadline from its start or later, which ends nothing', async () => {
    const first = gate();
    lab.bodies = { first: first.body };
    const fromMs = Date.now();
    const run = await lab.start({ plan: plan([step('first')]), deadline: '6h' });
    await first.begun;
    const key = { projectId, id: run.runId };
    const { deadline } = await getPipelineRun(lab.database, key);
    const hours = (Date.parse(deadline ?? '') - fromMs) / 3_600_000;
    expect(hours).toBeGreaterThanOrEqual(6);
    expect(hours).toBeLessThan(6.1);
    await expect(control(run, { action: 'deadline', deadline: 'soon' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining("'soon' is neither a time") as string,
    });
    const passed = control(run, { action: 'deadline', deadline: '2020-01-01T00:00Z' });
    await expect(passed).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    // who asks the workflow itself gives a point in time
    const raw = { ...who, action: 'deadline', deadline: '6h' } as const;
    await expect(lab.starter.controlPipelineRun(run.runId, raw)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect((await getPipelineRun(lab.database, key)).deadline).toBe(deadline);
    const later = { action: 'deadline', deadline: '2030-01-01T01:00+01:00' } as const;
    expect(await control(run, later)).toMatchObject({ deadline: '2030-01-01T00:00:00.000Z' });
    expect(await control(run, { action: 'priority', priority: 2 })).toMatchObject({
      deadline: '2030-01-01T00:00:00.000Z',
    });
    expect(await control(run, { action: 'deadline', deadline: null })).toMatchObject({
      deadline: null,
      priority: 2,
    });
    const subject = `pipeline-run/${run.runId}`;
    const [newest] = await listAudit(lab.database.postgres, { projectId, subject, limit: 1 });
    expect(newest).toMatchObject({
      action: 'pipeline-run.deadline',
      detail: { deadline: null, reason: 'as agreed' },
    });
    first.open();
    expect((await run.result()).status).toBe('succeeded');
  });

  it('does not begin with a deadline that is none', async () => {
    const run = await lab.start({ plan: plan([step('first')]), deadline: 'soon' });
    await expect(run.result()).rejects.toMatchObject({
      cause: { message: "The deadline 'soon' is neither a time nor a duration." },
    });
  });

  it('refuses what makes no sense, and changes nothing', async () => {
    const first = gate();
    lab.bodies = { first: first.body };
    const run = await lab.start({ plan: plan([step('first')]) });
    await first.begun;
    await expect(control(run, { action: 'retry', stepKey: 'first' })).rejects.toThrow(
      "the step 'first' has not failed",
    );
    await expect(control(run, { action: 'skip', stepKey: 'frist' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: `The run '${run.runId}' has no step 'frist'. Did you mean 'first'?`,
    });
    await expect(control(run, { action: 'priority', priority: 9 })).rejects.toThrow('not 1 to 5');
    first.open();
    await run.result();
    await expect(control(run, { action: 'pause' })).rejects.toThrow('has ended: succeeded');
    const found = await getPipelineRun(lab.database, { projectId, id: run.runId });
    expect(found).toMatchObject({ isPaused: false, priority: 3 });
  });
});
