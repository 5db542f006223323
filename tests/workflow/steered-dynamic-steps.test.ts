import { controlPipelineRun } from '../../pipelines/run-controls';
import { listSteps } from '../../pipelines/step-reasons';
import { compileYaml } from '../../sdk/pipeline-yaml';
import {
  openWorkflowLab,
  stepFailure,
  tick,
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
beforeEach(() => {
  lab.bodies = {
    generate: async () => ({ plan: await lab.written.write(WRITTEN) }),
  };
});

const WRITTEN = `version: 1
name: written
steps:
  fit: { run: x, retry: { max: 0 } }
  eval: { run: x, after: [fit] }`;
const plan = compileYaml(`version: 1
name: p
steps:
  generate: { run: x, outputs: { plan: pipeline } }
  search: { pipeline: steps.generate.outputs.plan }
  then: { run: x, after: [search] }
  beside: { run: x }`);

/** A step that says that it has begun, and waits until it may end. */
function gate(): { body: StepBody; begun: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  let begin = (): void => undefined;
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const opened = new Promise<void>((resolve) => (open = resolve));
  const body = async () => {
    begin();
    await opened;
    return {};
  };
  return { body, begun, open };
}
async function until(runId: string, key: string, status: string): Promise<void> {
  while ((await lab.statuses(runId))[key] !== status) await tick();
}
async function control(runId: string, action: 'skip' | 'retry', stepKey: string): Promise<unknown> {
  const asked = { actor: 'ada', reason: '', action, stepKey } as const;
  return controlPipelineRun(lab.parts, { projectId, id: runId }, asked);
}
async function whyOf(runId: string, key: string): Promise<string | null | undefined> {
  const steps = await listSteps(lab.database, { projectId, runId });
  return steps.find((step) => step.key === key)?.reason;
}

describe('the steps of a written pipeline', () => {
  it('are run again and skipped one by one', async () => {
    const beside = gate();
    let isBroken = true;
    lab.bodies['beside'] = beside.body;
    lab.bodies['search.fit'] = () =>
      isBroken ? Promise.reject(stepFailure('data', 'no table')) : Promise.resolve({});
    const { runId, result } = await lab.start({ plan });
    await beside.begun;
    await until(runId, 'then', 'skipped');
    expect(await lab.statuses(runId)).toMatchObject({ search: 'failed', 'search.eval': 'skipped' });
    expect(await whyOf(runId, 'search')).toMatch(/search\.fit: data: no table/);
    await expect(control(runId, 'retry', 'search')).rejects.toThrow(
      'holds steps: name one of them',
    );
    isBroken = false;
    await control(runId, 'retry', 'search.fit');
    await until(runId, 'then', 'succeeded');
    beside.open();
    expect((await result()).status).toBe('succeeded');
    expect(await lab.statuses(runId)).toMatchObject({
      search: 'succeeded',
      'search.fit': 'succeeded',
      'search.eval': 'succeeded',
    });
  });

  it('go on under another control worker', async () => {
    const fit = gate();
    lab.bodies['search.fit'] = fit.body;
    const { runId, result } = await lab.start({ plan });
    await fit.begun;
    await lab.restartControl();
    fit.open();
    expect((await result()).status).toBe('succeeded');
    const steps = await lab.statuses(runId);
    expect(new Set(Object.values(steps))).toEqual(new Set(['succeeded']));
    expect(Object.keys(steps)).toHaveLength(6);
  });

  it('are cancelled with their run', async () => {
    let begin = (): void => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    lab.bodies['search.fit'] = async (_, signal) => {
      begin();
      await untilAborted(signal);
      throw stepFailure('preempted', 'stopped');
    };
    const { runId, result, cancel } = await lab.start({ plan });
    await begun;
    await cancel();
    expect((await result()).status).toBe('cancelled');
    expect(await lab.statuses(runId)).toMatchObject({
      search: 'cancelled',
      'search.fit': 'cancelled',
      'search.eval': 'cancelled',
      then: 'cancelled',
    });
  });

  it('do not come if the step is skipped by somebody, who names it while it waits', async () => {
    const generate = gate();
    lab.bodies['generate'] = async (...of) => {
      await generate.body(...of);
      return { plan: await lab.written.write(WRITTEN) };
    };
    const { runId, result } = await lab.start({ plan });
    await generate.begun;
    expect(await whyOf(runId, 'search')).toBe(
      'waiting for generate to end; then its pipeline is known',
    );
    await control(runId, 'skip', 'search');
    generate.open();
    expect((await result()).status).toBe('succeeded');
    expect(await lab.statuses(runId)).toEqual({
      generate: 'succeeded',
      search: 'skipped',
      then: 'skipped',
      beside: 'succeeded',
    });
  });
});
