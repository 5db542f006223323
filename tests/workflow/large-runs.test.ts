import { getPipelineRun } from '../../pipelines/pipeline-runs';
import { controlPipelineRun } from '../../pipelines/run-controls';
import { listSteps } from '../../pipelines/step-reasons';
import type { Plan } from '../../schemas/plan';
import { pipelineRunWorkflowId, segmentWorkflowId } from '../../workflows/contract';
import { gate } from '../support/gate';
import { plan, step } from '../support/plans';
import { until } from '../support/step-lab';
import {
  openWorkflowLab,
  stepFailure,
  untilAborted,
  type WorkflowLab,
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

const nothing = { uses: 'builtin/nothing' } as const;

/** 100 chains of 10 steps that do nothing, behind one step and before another. */
function wide(): Plan {
  const chains = Array.from({ length: 1_000 }, (_, i) =>
    step(`n${i}`, { ...nothing, after: [i % 10 === 0 ? 'first' : `n${i - 1}`] }),
  );
  const last = Array.from({ length: 100 }, (_, i) => `n${i * 10 + 9}`);
  return plan([step('first', nothing), ...chains, step('last', { ...nothing, after: last })]);
}

async function eventsOf(workflowId: string): Promise<number> {
  const { historyLength } = await lab.env.client.workflow.getHandle(workflowId).describe();
  return historyLength;
}
async function countByStatus(runId: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { status } of await listSteps(lab.database, { projectId, runId })) {
    counts[status] = (counts[status] ?? 0) + 1;
  }
  return counts;
}

describe('a run of more steps than one workflow takes', () => {
  it('runs in parts that wait for each other, each with a small history', async () => {
    const { runId, status } = await lab.run(wide());
    expect(status).toBe('succeeded');
    expect(await countByStatus(runId)).toEqual({ succeeded: 1_002 });
    const workflows = [0, 1, 2].map((part) => segmentWorkflowId(runId, part));
    for (const id of [pipelineRunWorkflowId(runId), ...workflows]) {
      const events = await eventsOf(id);
      expect(events).toBeGreaterThan(10);
      expect(events).toBeLessThan(4_096);
    }
    const order = await lab.database.postgres.query<{ step_key: string }>(
      `SELECT step_key FROM transitions WHERE run_id = $1 AND state = 'succeeded' ORDER BY id`,
      [runId],
    );
    const at = new Map(order.map((row, i) => [row.step_key, i]));
    for (let i = 0; i < 1_000; i += 1) {
      const need = i % 10 === 0 ? 'first' : `n${i - 1}`;
      expect(at.get(need)).toBeLessThan(at.get(`n${i}`) ?? -1);
      expect(at.get(`n${i}`)).toBeLessThan(at.get('last') ?? -1);
    }
  });

  it('carries a failure over the borders of parts', async () => {
    lab.bodies = { bad: () => Promise.reject(stepFailure('data', 'no such table')) };
    const many = Array.from({ length: 900 }, (_, i) =>
      step(`n${i}`, { ...nothing, after: i === 0 ? ['bad'] : [`n${i - 1}`] }),
    );
    const { runId, status } = await lab.run(plan([step('bad'), ...many]));
    expect(status).toBe('failed');
    expect(await countByStatus(runId)).toEqual({ failed: 1, skipped: 900 });
    const run = await getPipelineRun(lab.database, { projectId, id: runId });
    expect(run.reason).toMatch(/^bad: /);
  });

  it('is cancelled in all its parts', async () => {
    let begun: () => void = () => undefined;
    const running = new Promise<void>((resolve) => (begun = resolve));
    lab.bodies = {
      first: async (_input, signal) => {
        begun();
        await untilAborted(signal);
        throw stepFailure('preempted', 'stopped');
      },
    };
    const many = Array.from({ length: 900 }, (_, i) =>
      step(`n${i}`, { ...nothing, after: ['first'] }),
    );
    const started = await lab.start({ plan: plan([step('first'), ...many]) });
    await running;
    await started.cancel();
    expect((await started.result()).status).toBe('cancelled');
    expect(await countByStatus(started.runId)).toEqual({ cancelled: 901 });
  });

  it('says which failed steps nobody can run again: their part, or what they held up, is over', async () => {
    const late = gate();
    const fails = (): Promise<never> => Promise.reject(stepFailure('data', 'no such table'));
    lab.bodies = { alone: fails, bad: fails, late: late.body };
    const many = Array.from({ length: 410 }, (_, i) => step(`n${i}`, nothing));
    const tail = step('tail', { ...nothing, after: ['bad', 'n409'] });
    const run = await lab.start({
      plan: plan([step('alone'), step('bad'), ...many, step('late'), tail]),
    });
    const first = lab.env.client.workflow.getHandle(segmentWorkflowId(run.runId, 0));
    await late.begun;
    await until(async () => (await first.describe()).status.name === 'COMPLETED');
    await until(async () => (await lab.statuses(run.runId))['tail'] === 'skipped');
    const retry = (stepKey: string): Promise<unknown> =>
      controlPipelineRun(
        { postgres: lab.database.postgres, starter: lab.starter },
        { projectId, id: run.runId },
        { action: 'retry', stepKey, actor: 'ada', reason: '' },
      );
    await expect(retry('alone')).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining("part of the run that holds 'alone' has ended") as string,
    });
    await expect(retry('bad')).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining("'tail', which 'bad' held up, lies in another") as string,
    });
    late.open();
    expect((await run.result()).status).toBe('failed');
  });

  it('goes on in a new history when one foreach alone fills it', async () => {
    const items = Array.from({ length: 1_024 }, (_, i) => i);
    lab.bodies = { list: () => Promise.resolve({ items: { value: items } }) };
    const { runId, status } = await lab.run(
      plan([
        step('list', { outputs: { items: { value: true } } }),
        step('each', { ...nothing, foreach: { i: 'steps.list.outputs.items' } }),
        step('last', { ...nothing, after: ['each'] }),
      ]),
    );
    expect(status).toBe('succeeded');
    expect(await countByStatus(runId)).toEqual({ succeeded: 1_027 });
    expect(await eventsOf(pipelineRunWorkflowId(runId))).toBeLessThan(4_096);
  });
});

describe('a foreach over what an earlier step gave', () => {
  it('is made of the items that were there, and is a list for what follows', async () => {
    lab.bodies = {
      list: () => Promise.resolve({ items: { value: ['a', 'b'] } }),
      'each[1]': () => Promise.resolve({ name: { value: 'second' } }),
      'each[0]': () => Promise.resolve({ name: { value: 'first' } }),
    };
    const { runId, status } = await lab.run(
      plan([
        step('list', { outputs: { items: { value: true } } }),
        step('each', {
          foreach: { letter: 'steps.list.outputs.items' },
          outputs: { name: { value: true } },
        }),
        step('two', { ...nothing, if: 'steps.each.outputs[1].name == "second"' }),
        step('none', { ...nothing, if: 'steps.each.outputs[0].item.letter == "z"' }),
      ]),
    );
    expect(status).toBe('succeeded');
    const steps = await listSteps(lab.database, { projectId, runId });
    expect(Object.fromEntries(steps.map(({ key, status: of }) => [key, of]))).toEqual({
      list: 'succeeded',
      each: 'succeeded',
      'each[0]': 'succeeded',
      'each[1]': 'succeeded',
      two: 'succeeded',
      none: 'skipped',
    });
  });

  it.each([
    ['7', 'is not over a list'],
    [`[${Array(1_025).fill(1).join(',')}]`, 'has 1025 items; at most 1024'],
  ])('fails the step for %.10s', async (items, reason) => {
    lab.bodies = { list: () => Promise.resolve({ items: { value: JSON.parse(items) as never } }) };
    const { runId, status } = await lab.run(
      plan([
        step('list', { outputs: { items: { value: true } } }),
        step('each', { ...nothing, foreach: { i: 'steps.list.outputs.items' } }),
      ]),
    );
    expect(status).toBe('failed');
    const run = await getPipelineRun(lab.database, { projectId, id: runId });
    expect(run.reason).toContain(reason);
  });
});
