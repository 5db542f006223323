import { getPipelineRun } from '../../pipelines/pipeline-runs';
import { listSteps } from '../../pipelines/step-reasons';
import { listTransitions } from '../../pipelines/transitions';
import type { ExecuteStepInput } from '../../schemas/attempts';
import type { Transition } from '../../schemas/pipeline-runs';
import type { Outputs } from '../../schemas/plan';
import { plan, step } from '../support/plans';
import { openWorkflowLab, type WorkflowLab } from '../support/workflow-lab';

const projectId = 'default';
let lab: WorkflowLab;
beforeAll(async () => {
  lab = await openWorkflowLab();
});
afterAll(() => lab.close());
beforeEach(() => {
  lab.bodies = {};
});

async function transitions(runId: string): Promise<Transition[]> {
  return listTransitions(lab.database, { projectId, runId, after: 0, limit: 1000 });
}
function value(of: number): Outputs {
  return { x: { value: of } };
}

describe('runPipeline', () => {
  it('runs a chain one after the other and records every state', async () => {
    const order: string[] = [];
    const body = ({ stepKey }: ExecuteStepInput): Promise<Outputs> => {
      order.push(stepKey);
      return Promise.resolve(value(order.length));
    };
    lab.bodies = { a: body, b: body, c: body };
    const chain = plan([step('a'), step('b', { after: ['a'] }), step('c', { after: ['b'] })]);
    const result = await lab.run(chain);
    expect(result).toMatchObject({
      status: 'succeeded',
      outputs: { a: value(1), b: value(2), c: value(3) },
    });
    expect(order).toEqual(['a', 'b', 'c']);
    expect(await lab.statuses(result.runId)).toEqual({
      a: 'succeeded',
      b: 'succeeded',
      c: 'succeeded',
    });
    const run = await getPipelineRun(lab.database, { projectId, id: result.runId });
    expect(run).toMatchObject({ status: 'succeeded', pipeline: 'test', reason: null });
    expect(run.endedAt).not.toBeNull();
    const seen = await transitions(result.runId);
    const ofB = seen.filter((t) => t.stepKey === 'b').map((t) => `${t.state}#${t.attempt}`);
    expect(ofB.sort()).toEqual(['ready#1', 'started#1', 'succeeded#1']);
    const [why] = seen.filter((t) => t.state === 'ready');
    expect(why?.reason).toBe('waiting for a worker of pool cpu');
  });

  it('runs the branches of a diamond side by side and joins them', async () => {
    const arrived: string[] = [];
    let release: () => void = () => undefined;
    const both = new Promise<void>((resolve) => (release = resolve));
    // each branch waits for the other: one after the other would never end
    const meet = async ({ stepKey }: ExecuteStepInput): Promise<Outputs> => {
      arrived.push(stepKey);
      if (arrived.length === 2) release();
      await both;
      return {};
    };
    lab.bodies = { left: meet, right: meet };
    const diamond = plan([
      step('join', { after: ['left', 'right'] }), // order in the file does not matter
      step('top'),
      step('left', { after: ['top'] }),
      step('right', { after: ['top'] }),
    ]);
    const result = await lab.run(diamond);
    expect(result.status).toBe('succeeded');
    expect(arrived.sort()).toEqual(['left', 'right']);
  });

  it('runs the items of a foreach, at most `parallel` at once, and picks the best', async () => {
    let running = 0;
    let peak = 0;
    let met: () => void = () => undefined;
    const haveMet = new Promise<void>((resolve) => (met = resolve));
    lab.bodies = {
      train: async ({ stepKey }) => {
        running += 1;
        peak = Math.max(peak, running);
        if (peak === 2) met(); // the first waits for the second, however slow the machine is
        await haveMet;
        await new Promise((resolve) => setTimeout(resolve, 50)); // a third one would be seen
        running -= 1;
        const i = Number(/\d/.exec(stepKey)?.[0]);
        return {
          auc: { value: [0.5, 0.9, 0.7, 0.8, 0.6][i] ?? 0 },
          model: { artifact: `artifact-${i}`, kind: 'model' },
        };
      },
    };
    const search = plan(
      [
        step('train', {
          foreach: { seed: 'params.seeds' },
          parallel: 2,
          outputs: {
            auc: { metric: 'auc', pick: 'last' },
            model: { kind: 'model' },
          },
        }),
        step('pick', {
          uses: 'builtin/best',
          inputs: { runs: 'steps.train.outputs' },
          with: { by: 'auc', mode: 'max' },
        }),
        step('register', {
          if: 'steps.pick.outputs.auc >= params.least',
          uses: 'builtin/register-model',
          inputs: { model: 'steps.pick.outputs.model' },
          with: { name: 'churn', alias: 'candidate' },
        }),
      ],
      { seeds: { type: 'list' }, least: { type: 'number', default: 0.8 } },
    );
    const result = await lab.run(search, { seeds: [11, 12, 13, 14, 15] });
    expect(result.status).toBe('succeeded');
    expect(peak).toBe(2);
    expect(result.outputs['pick']).toEqual({
      auc: { value: 0.9 },
      model: { artifact: 'artifact-1', kind: 'model' },
      item: { value: { seed: 12 } },
    });
    expect(result.outputs['register']).toEqual({ version: { value: 1 } });
    expect(lab.registered).toEqual([
      {
        projectId,
        model: 'churn',
        artifactId: 'artifact-1',
        alias: 'candidate',
        actor: `pipeline-run/${result.runId}`,
        idempotencyKey: `${result.runId}/register`,
      },
    ]);
  });

  it('skips a step whose condition is false, and what needs only it', async () => {
    lab.bodies = { score: () => Promise.resolve({ auc: { value: 0.4 } }) };
    const conditional = plan([
      step('score', { outputs: { auc: { metric: 'auc', pick: 'last' } } }),
      step('good', { if: 'steps.score.outputs.auc > 0.8' }),
      step('after-good', { after: ['good'] }),
      step('anyway', { after: ['score', 'good'] }),
    ]);
    const result = await lab.run(conditional);
    expect(result.status).toBe('succeeded');
    expect(await lab.statuses(result.runId)).toEqual({
      score: 'succeeded',
      good: 'skipped',
      'after-good': 'skipped',
      anyway: 'succeeded',
    });
    const steps = await listSteps(lab.database, { projectId, runId: result.runId });
    expect(steps.map((s) => s.reason)).toEqual([
      null,
      'its condition is false: steps.score.outputs.auc > 0.8',
      'good was skipped',
      null,
    ]);
  });

  it('fails a step whose condition is neither true nor false', async () => {
    lab.bodies = { a: () => Promise.resolve({ v: { value: 2 } }) };
    const odd = step('odd', { if: 'steps.a.outputs.v' });
    const result = await lab.run(plan([step('a', { outputs: { v: { value: true } } }), odd]));
    expect(result.status).toBe('failed');
    const run = await getPipelineRun(lab.database, { projectId, id: result.runId });
    expect(run.reason).toBe('odd: its condition gave 2, which is neither true nor false');
  });

  it('goes on with another control worker where the first one stopped', async () => {
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const begun = new Promise<void>((resolve) => {
      lab.bodies = {
        a: async () => {
          resolve();
          await released;
          return value(1);
        },
      };
    });
    const started = await lab.start({ plan: plan([step('a'), step('b', { after: ['a'] })]) });
    await begun;
    await lab.restartControl();
    release();
    expect(await started.result()).toMatchObject({ status: 'succeeded', outputs: { a: value(1) } });
  });
});
