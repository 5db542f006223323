import { decideStep } from '../../pipelines/decisions';
import { diffPipelineRuns } from '../../pipelines/run-diffs';
import { resumePipelineRun } from '../../pipelines/resumes';
import { listSteps } from '../../pipelines/step-reasons';
import { listTransitions } from '../../pipelines/transitions';
import type { PipelineRun, ResumedStep, Step } from '../../schemas/pipeline-runs';
import type { Plan } from '../../schemas/plan';
import { pipelineRunWorkflowId, type RunPipelineResult } from '../../workflows/contract';
import { plan, step } from '../support/plans';
import {
  openWorkflowLab,
  stepFailure,
  type StepBody,
  type WorkflowLab,
} from '../support/workflow-lab';

const projectId = 'default';
let lab: WorkflowLab;
let ran: string[];
beforeAll(async () => {
  lab = await openWorkflowLab();
});
afterAll(() => lab.close());
beforeEach(() => {
  ran = [];
});

type Resume = Partial<Parameters<typeof resumePipelineRun>[1]['resume']>;
function ask(id: string, given: Resume): ReturnType<typeof resumePipelineRun> {
  const deps = lab.parts;
  const resume = { params: {}, dryRun: false, ...given };
  return resumePipelineRun(deps, { projectId, id, resume });
}
/** Resumes a run and waits for the end of the new one. */
async function resume(id: string, given: Resume = {}): Promise<RunPipelineResult> {
  const run = (await ask(id, given)) as PipelineRun;
  expect(run.resumedFrom).toBe(id);
  ran = [];
  const handle = lab.env.client.workflow.getHandle(pipelineRunWorkflowId(run.id));
  return (await handle.result()) as RunPipelineResult;
}
async function forecast(id: string, given: Resume = {}): Promise<Record<string, string>> {
  const { steps } = (await ask(id, { ...given, dryRun: true })) as { steps: ResumedStep[] };
  return Object.fromEntries(steps.map((s) => [s.key, `${s.outcome}: ${s.reason}`]));
}
async function stepsOf(runId: string): Promise<Record<string, Step>> {
  const steps = await listSteps(lab.database, { projectId, runId });
  return Object.fromEntries(steps.map((one) => [one.key, one]));
}
/** A body that keeps the name of what ran. */
function gives(outputs: Awaited<ReturnType<StepBody>> = {}): StepBody {
  return ({ stepKey }) => {
    ran.push(stepKey);
    return Promise.resolve(outputs);
  };
}
const fails: StepBody = () => Promise.reject(stepFailure('data', 'no rows'));

const training: Plan = plan(
  [
    step('prepare', { outputs: { rows: { value: true } } }),
    step('train', {
      foreach: { lr: 'params.lrs' },
      inputs: { rows: 'steps.prepare.outputs.rows' },
      env: { SEED: '${{ params.seed }}' },
      outputs: { auc: { value: true } },
    }),
    step('report', { inputs: { all: 'steps.train.outputs' } }),
  ],
  { lrs: { type: 'list' }, seed: { type: 'number', default: 1 } },
);
/** A run of it whose report fails. */
async function failedRun(lrs: number[] = [1, 2]): Promise<string> {
  lab.bodies = {
    prepare: gives({ rows: { value: 3 } }),
    train: gives({ auc: { value: 0.5 } }),
    report: fails,
  };
  const { runId, status } = await lab.run(training, { lrs });
  expect(status).toBe('failed');
  lab.bodies = { ...lab.bodies, report: gives() };
  return runId;
}

describe('a resumed run', () => {
  it('takes the results that are there and runs the rest', async () => {
    const id = await failedRun();
    const reused = `reuse: same content as run ${id}, step`;
    expect(await forecast(id)).toEqual({
      prepare: `${reused} prepare`,
      'train[0]': `${reused} train[0]`,
      'train[1]': `${reused} train[1]`,
      report: `run: it did not succeed in run ${id}: failed`,
    });
    const { runId, status, outputs } = await resume(id);
    expect({ status, ran }).toEqual({ status: 'succeeded', ran: ['report'] });
    expect(outputs).toMatchObject({
      prepare: { rows: { value: 3 } },
      'train[1]': { auc: { value: 0.5 } },
    });
    const { prepare, report } = await stepsOf(runId);
    expect(prepare).toMatchObject({
      status: 'succeeded',
      cache: {
        hit: true,
        from: { runId: id, stepKey: 'prepare' },
        explanation: `same content as run ${id}, step prepare`,
      },
    });
    expect(report?.cache).toMatchObject({
      hit: false,
      from: null,
      explanation: `it did not succeed in run ${id}: failed`,
    });
    const all = await listTransitions(lab.database, { projectId, runId, after: 0, limit: 100 });
    const cached = all.filter(({ state }) => state === 'cached').map(({ stepKey }) => stepKey);
    expect(cached.sort()).toEqual(['prepare', 'train[0]', 'train[1]']);
  });

  it('takes them again from a run that was itself resumed', async () => {
    const id = await failedRun();
    const second = await resume(id);
    const third = await resume(second.runId);
    expect(ran).toEqual([]);
    expect((await stepsOf(third.runId))['report']?.cache?.from).toEqual({
      runId: second.runId,
      stepKey: 'report',
    });
  });

  it('runs what other params change, and says which', async () => {
    const id = await failedRun();
    const seeded = await forecast(id, { params: { seed: 2 } });
    expect(seeded).toMatchObject({
      prepare: expect.stringMatching(/^reuse/) as string,
      'train[0]': `run: differs from run ${id}: param seed: 1 → 2, env SEED: "1" → "2"`,
      report: 'unknown: depends on what train gives',
    });
    const { runId } = await resume(id, { params: { seed: 2 } });
    const changed = 'param seed: 1 → 2, env SEED: "1" → "2"';
    expect(await diffPipelineRuns(lab.database, { projectId, a: id, b: runId })).toEqual({
      pipeline: null,
      planId: null,
      codeDigest: null,
      git: null,
      params: [{ name: 'seed', a: 1, b: 2 }],
      steps: [
        { key: 'train[0]', a: 'succeeded', b: 'succeeded', changed },
        { key: 'train[1]', a: 'succeeded', b: 'succeeded', changed },
        { key: 'report', a: 'failed', b: 'succeeded', changed: '' },
      ],
      environments: [],
    });
    expect(ran.sort()).toEqual(['report', 'train[0]', 'train[1]']);
    expect((await stepsOf(runId))['train[0]']?.cache?.explanation).toBe(
      `differs from run ${id}: param seed: 1 → 2, env SEED: "1" → "2"`,
    );
  });

  it('finds an item of a foreach at another position of the list', async () => {
    const id = await failedRun([1, 2]);
    const { runId } = await resume(id, { params: { lrs: [9, 2] } });
    expect(ran.sort()).toEqual(['report', 'train[0]']);
    expect((await stepsOf(runId))['train[1]']?.cache?.from?.stepKey).toBe('train[1]');
    const moved = await resume(id, { params: { lrs: [2, 1] } });
    expect((await stepsOf(moved.runId))['train[0]']?.cache?.from?.stepKey).toBe('train[1]');
  });

  it('runs a step again that is named, and all that follow it', async () => {
    const id = await failedRun();
    const again = 'run: it was asked to run again';
    expect(await forecast(id, { from: 'train' })).toMatchObject({
      prepare: expect.stringMatching(/^reuse/) as string,
      'train[0]': again,
      report: again,
    });
    const { runId } = await resume(id, { from: 'train' });
    expect(ran.sort()).toEqual(['report', 'train[0]', 'train[1]']);
    expect((await stepsOf(runId))['train[1]']?.cache?.explanation).toBe(
      'it was asked to run again',
    );
  });

  it('runs everything when the code is another', async () => {
    const id = await failedRun();
    const codeDigest = 'a'.repeat(64);
    expect((await forecast(id, { codeDigest }))['prepare']).toBe(
      `run: differs from run ${id}: code changed`,
    );
    await resume(id, { codeDigest });
    expect(ran).toContain('prepare');
  });

  it('forecasts conditions, late lists and the best item', async () => {
    lab.bodies = {
      list: gives({ items: { value: [1, 2] } }),
      each: gives({ score: { value: 4 } }),
      use: fails,
    };
    const steps = plan([
      step('list', { outputs: { items: { value: true } } }),
      step('each', {
        foreach: { i: 'steps.list.outputs.items' },
        outputs: { score: { value: true } },
      }),
      step('pick', {
        uses: 'builtin/best',
        inputs: { runs: 'steps.each.outputs' },
        with: { by: 'score' },
      }),
      step('never', { if: 'steps.pick.outputs.score > 9' }),
      step('after-never', { after: ['never'] }),
      step('use', { env: { S: '${{ steps.pick.outputs.score }}' } }),
    ]);
    const { runId: id } = await lab.run(steps);
    expect(await forecast(id)).toEqual({
      list: `reuse: same content as run ${id}, step list`,
      'each[0]': `reuse: same content as run ${id}, step each[0]`,
      'each[1]': `reuse: same content as run ${id}, step each[1]`,
      pick: 'run: built-in steps always run',
      never: 'skip: its condition is false: steps.pick.outputs.score > 9',
      'after-never': 'skip: never is skipped',
      use: `run: it did not succeed in run ${id}: failed`,
    });
    lab.bodies['use'] = gives();
    const { status } = await resume(id);
    expect({ status, ran }).toEqual({ status: 'succeeded', ran: ['use'] });
  });

  it('has the same results when its decisions are made twice and the worker is replaced', async () => {
    const id = await failedRun();
    const run = (await ask(id, {})) as PipelineRun;
    await lab.restartControl();
    const handle = lab.env.client.workflow.getHandle(pipelineRunWorkflowId(run.id));
    expect(await handle.result()).toMatchObject({ status: 'succeeded' });
    // what a repeated activity does
    const node = { key: 'prepare', kind: 'step', index: 0, needs: [], settings: 0 } as const;
    const before = await stepsOf(run.id);
    const verdict = await decideStep(
      { ...lab.database, ...lab.written },
      { projectId, runId: run.id, node },
    );
    expect(verdict.verdict).toBe('reuse');
    expect(await stepsOf(run.id)).toEqual(before);
  });

  it('is refused with clear words', async () => {
    const id = await failedRun();
    await expect(ask(id, { from: 'trian' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining("Did you mean 'train'?") as string,
    });
    await expect(ask(id, { params: { sed: 1 } })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(ask('nobody', {})).rejects.toMatchObject({ code: 'NOT_FOUND' });
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    let begin: () => void = () => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    lab.bodies = {
      a: () => {
        begin();
        return opened.then(() => ({}));
      },
    };
    const run = await lab.start({ plan: plan([step('a')]) });
    await begun;
    await expect(ask(run.runId, {})).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining('still under way') as string,
    });
    open();
    await run.result();
  });
});
