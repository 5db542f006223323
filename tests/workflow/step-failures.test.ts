import { getPipelineRun } from '../../pipelines/pipeline-runs';
import { listSteps } from '../../pipelines/step-reasons';
import { listTransitions } from '../../pipelines/transitions';
import type { FailureClass, StepSpec } from '../../schemas/plan';
import { pipelineRunWorkflowId } from '../../workflows/contract';
import { plan, step } from '../support/plans';
import { until } from '../support/step-lab';
import {
  openWorkflowLab,
  stepFailure,
  untilAborted,
  type StepBody,
  type WorkflowLab,
} from '../support/workflow-lab';

const projectId = 'default';
let lab: WorkflowLab;
beforeAll(async () => {
  lab = await openWorkflowLab();
});
afterAll(() => lab.close());

/** Fails in the first attempts, each with its class, then succeeds. */
function failing(...classes: FailureClass[]): StepBody {
  return ({ attempt }) => {
    const failureClass = classes[attempt - 1];
    if (failureClass === undefined) return Promise.resolve({ attempt: { value: attempt } });
    return Promise.reject(stepFailure(failureClass, `attempt ${attempt} said no`));
  };
}

describe('failing steps', () => {
  it('tries a crash again within its budget and goes on', async () => {
    lab.bodies = { train: failing('crash', 'oom') };
    const train = step('train', { retry: { max: 2, on: ['crash', 'oom'] } });
    const result = await lab.run(plan([train, step('use', { after: ['train'] })]));
    expect(result).toMatchObject({
      status: 'succeeded',
      outputs: { train: { attempt: { value: 3 } } },
    });
    const { runId } = result;
    const seen = await listTransitions(lab.database, { projectId, runId, after: 0, limit: 100 });
    const retries = seen.filter((t) => t.state === 'retrying').map((t) => t.reason);
    expect(retries).toEqual([
      'crash: attempt 1 said no; attempt 2 in 1 s',
      'oom: attempt 2 said no; attempt 3 in 2 s',
    ]);
  });

  it('fails when the budget is spent, skips what needs it, and finishes the rest', async () => {
    lab.bodies = { train: failing('crash', 'crash') };
    const result = await lab.run(
      plan([
        step('train', { retry: { max: 1, on: ['crash'] } }),
        step('use', { after: ['train'] }),
        step('report', { after: ['use'] }),
        step('other'),
      ]),
    );
    expect(result.status).toBe('failed');
    const { runId } = result;
    const steps = await listSteps(lab.database, { projectId, runId });
    expect(Object.fromEntries(steps.map((s) => [s.key, [s.status, s.reason]]))).toEqual({
      train: ['failed', 'crash: attempt 2 said no (no retry left of 1)'],
      use: ['skipped', 'train did not succeed'],
      report: ['skipped', 'use did not succeed'],
      other: ['succeeded', null],
    });
    const run = await getPipelineRun(lab.database, { projectId, id: runId });
    expect(run.reason).toBe('train: crash: attempt 2 said no (no retry left of 1)');
  });

  it('waits as long as the step says, until the time for all attempts is spent', async () => {
    lab.bodies = { train: failing('crash', 'crash', 'crash', 'crash', 'crash') };
    const retry: StepSpec['retry'] = { max: 5, on: ['crash'], delaySeconds: 0.2, factor: 3 };
    const train = step('train', { retry, totalTimeoutSeconds: 3 });
    const { runId, status } = await lab.run(plan([train]));
    expect(status).toBe('failed');
    const seen = await listTransitions(lab.database, { projectId, runId, after: 0, limit: 100 });
    const reasons = seen.map((t) => t.reason ?? '');
    // 0.2 s, 0.6 s, 1.8 s: the third delay, or a slow machine's second, would end behind the 3 s
    expect(reasons).toContain('crash: attempt 1 said no; attempt 2 in 0.2 s');
    expect(reasons.at(-1)).toMatch(/the 3 s for all attempts are spent/);
  });

  it('does not try a class again that the step does not name', async () => {
    lab.bodies = { train: failing('data') };
    const train = step('train', { retry: { max: 5, on: ['crash'] } });
    const result = await lab.run(plan([train]));
    const run = await getPipelineRun(lab.database, { projectId, id: result.runId });
    expect(run.reason).toBe('train: data: attempt 1 said no (data is not retried)');
  });

  it('does not count lost attempts against the budget of the step', async () => {
    lab.bodies = { train: failing('preempted', 'node-lost', 'preempted', 'crash') };
    const train = step('train', { retry: { max: 1, on: ['crash'] } });
    const result = await lab.run(plan([train]));
    expect(result.outputs).toEqual({ train: { attempt: { value: 5 } } });
  });

  it('notices a worker that has gone silent, and marks its attempt as lost', async () => {
    let reviveSilent: () => void = () => undefined;
    lab.bodies = {
      train: async ({ attempt }, signal) => {
        lab.isSilent = attempt === 1;
        if (attempt > 1) return { attempt: { value: attempt } };
        await new Promise<void>((resolve) => (reviveSilent = resolve));
        await untilAborted(signal);
        return {};
      },
    };
    const started = await lab.start({ plan: plan([step('train')]) });
    const result = await started.result();
    reviveSilent();
    expect(result.outputs).toEqual({ train: { attempt: { value: 2 } } });
    const attempts = await lab.database.postgres.query(
      'SELECT attempt, status, failure_class FROM attempts WHERE run_id = $1 ORDER BY attempt',
      [started.runId],
    );
    expect(attempts[0]).toEqual({ attempt: 1, status: 'lost', failure_class: 'heartbeat' });
  });
});

describe('cancelling', () => {
  it('stops what runs, waits for it, and never starts the rest', async () => {
    const stopped: string[] = [];
    const begun = new Promise<void>((resolve) => {
      lab.bodies = {
        a: async (_input, signal) => {
          resolve();
          await untilAborted(signal);
          await new Promise((done) => setTimeout(done, 100)); // saves its checkpoint
          stopped.push('a');
          throw stepFailure('preempted', 'stopped by SIGTERM');
        },
        b: () => Promise.reject(new Error('never')),
      };
    });
    const started = await lab.start({
      plan: plan([step('a'), step('b', { after: ['a'] }), step('done')]),
    });
    await begun;
    await lab.starter.cancelPipelineRun(started.runId);
    const result = await started.result();
    expect(stopped).toEqual(['a']);
    expect(result.status).toBe('cancelled');
    const steps = await listSteps(lab.database, { projectId, runId: started.runId });
    expect(steps.map((s) => [s.key, s.status])).toEqual([
      ['a', 'cancelled'],
      ['b', 'cancelled'],
      ['done', 'succeeded'],
    ]);
    const run = await getPipelineRun(lab.database, { projectId, id: started.runId });
    expect(run.status).toBe('cancelled');
    expect(await lab.starter.cancelPipelineRun(started.runId)).toBe('gone');
  });

  it('says which pool a step waits for, and ends that wait', async () => {
    const started = await lab.start({ plan: plan([step('train', { pool: 'gpu' })]) });
    const deps = { postgres: lab.database.postgres, starter: lab.starter };
    const isScheduled = async (): Promise<boolean> => {
      const id = pipelineRunWorkflowId(started.runId);
      const { raw } = await lab.env.client.workflow.getHandle(id).describe();
      return (raw.pendingActivities ?? []).some(({ activityId }) => activityId === 'train#1');
    };
    await until(isScheduled);
    const [waiting] = await listSteps(deps, { projectId, runId: started.runId });
    expect(waiting?.status).toBe('waiting');
    expect(waiting?.reason).toMatch(
      /^waiting for a worker of pool gpu since \S+Z; no worker of this pool has been seen for at least 5 min$/,
    );
    expect(await lab.starter.lastPoll('cpu')).toBeDefined();
    expect(await lab.starter.lastPoll(undefined)).toBeDefined();
    await started.cancel();
    expect((await started.result()).status).toBe('cancelled');
  });

  it('does not wait out the delay before another attempt', async () => {
    let failed: () => void = () => undefined;
    const hasFailed = new Promise<void>((resolve) => (failed = resolve));
    lab.bodies = {
      train: ({ attempt }) => {
        if (attempt === 5) failed(); // from here on the delay is 16 s
        return Promise.reject(stepFailure('preempted', 'gone'));
      },
    };
    const started = await lab.start({ plan: plan([step('train')]) });
    await hasFailed;
    await started.cancel();
    expect((await started.result()).status).toBe('cancelled');
  });
});
