import { decideStep } from '../../pipelines/decisions';
import { controlPipelineRun } from '../../pipelines/run-controls';
import { listSteps } from '../../pipelines/step-reasons';
import type { Step } from '../../schemas/pipeline-runs';
import type { Plan } from '../../schemas/plan';
import { pipelineRunWorkflowId } from '../../workflows/contract';
import { plan, step } from '../support/plans';
import {
  cachedPlan,
  findPrepare,
  prepareOf as prepareIn,
  statesOfPrepare,
  uniqueName,
} from '../support/cached-plans';
import { gate } from '../support/gate';
import {
  openWorkflowLab,
  type StartedRun,
  type StepBody,
  type WorkflowLab,
} from '../support/workflow-lab';

const projectId = 'default';
let lab: WorkflowLab;
let ran: string[]; // ids of the runs that did the work
beforeAll(async () => {
  lab = await openWorkflowLab();
});
afterAll(() => lab.close());
beforeEach(() => {
  ran = [];
});

const works: StepBody = ({ runId }) => {
  ran.push(runId);
  return Promise.resolve({ rows: { value: ran.length } });
};
const prepareOf = (runId: string): Promise<Step> => prepareIn(lab.database, runId);
const statesOf = (runId: string): Promise<string[]> => statesOfPrepare(lab.database, runId);

/** Looks until the step waits for another one's result. */
async function untilWaiting({ runId }: StartedRun): Promise<Step> {
  const untilMs = Date.now() + 20_000;
  while (Date.now() < untilMs) {
    const found = await findPrepare(lab.database, runId);
    if (found?.reason?.startsWith('the same work') === true) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the step prepare of run ${runId} does not wait`);
}
function start(given: Plan): Promise<StartedRun> {
  return lab.start({ plan: given });
}

describe('runs that want the same at once', () => {
  it('do it once: the others wait and take the result', async () => {
    const { body, begun, open } = gate(works);
    lab.bodies = { prepare: body };
    const pipeline = cachedPlan();
    const first = await start(pipeline);
    await begun;
    const others = await Promise.all([start(pipeline), start(pipeline)]);
    const waits = await Promise.all(others.map(untilWaiting));
    for (const { status, reason, cache } of waits) {
      const why = `the same work is under way in run ${first.runId}, step prepare: waiting for its result`;
      expect({ status, reason }).toEqual({ status: 'waiting', reason: why });
      expect(cache).toMatchObject({ hit: false, explanation: why });
    }
    open();
    const ends = await Promise.all([first, ...others].map((run) => run.result()));
    expect(ends.map(({ status }) => status)).toEqual(['succeeded', 'succeeded', 'succeeded']);
    expect(ran).toEqual([first.runId]);
    for (const { runId } of others) {
      expect(await statesOf(runId)).toEqual(['ready', 'cached']);
      expect((await prepareOf(runId)).cache?.from?.runId).toBe(first.runId);
    }
    expect(await lab.database.postgres.query('SELECT * FROM step_claims')).toEqual([]);
  });

  it('do it once inside one run, too', async () => {
    lab.bodies = { each: works };
    const twice = plan([
      step('each', { foreach: { i: '[1, 1, 2]' }, argv: [uniqueName()], cache: {} }),
    ]);
    const { status, runId } = await lab.run(twice);
    expect({ status, times: ran.length }).toEqual({ status: 'succeeded', times: 2 });
    const steps = await listSteps(lab.database, { projectId, runId });
    expect(steps.filter(({ cache }) => cache?.hit === true)).toHaveLength(1);
  });

  it('go on with one of those that wait when the one at work fails', async () => {
    const first = gate(works);
    const second = gate(works);
    const bodies = [first.body, second.body];
    lab.bodies = { prepare: (...given) => (bodies.shift() ?? works)(...given) };
    const pipeline = cachedPlan();
    const one = await start(pipeline);
    await first.begun;
    const others = await Promise.all([start(pipeline), start(pipeline)]);
    await Promise.all(others.map(untilWaiting));
    first.open(true);
    expect((await one.result()).status).toBe('failed');
    await second.begun;
    second.open();
    const ends = await Promise.all(others.map((run) => run.result()));
    expect(ends.map(({ status }) => status)).toEqual(['succeeded', 'succeeded']);
    expect(ran).toHaveLength(1);
    const shown = await Promise.all(others.map(({ runId }) => prepareOf(runId)));
    expect(shown.map(({ cache }) => cache?.hit).sort()).toEqual([false, true]);
    const did = shown.find(({ cache }) => cache?.hit === false);
    expect(did?.reason).toBeNull(); // not that of its wait
  });

  it('go on when the run at work is cancelled, and when one that waits is', async () => {
    const first = gate(works);
    const bodies = [first.body];
    lab.bodies = { prepare: (...given) => (bodies.shift() ?? works)(...given) };
    const pipeline = cachedPlan();
    const one = await start(pipeline);
    await first.begun;
    const [waits, leaves] = await Promise.all([start(pipeline), start(pipeline)]);
    await Promise.all([untilWaiting(waits), untilWaiting(leaves)]);
    await leaves.cancel();
    expect((await leaves.result()).status).toBe('cancelled');
    expect((await prepareOf(leaves.runId)).status).toBe('cancelled');
    await one.cancel();
    expect((await one.result()).status).toBe('cancelled');
    expect((await waits.result()).status).toBe('succeeded');
    expect(ran).toEqual([waits.runId]);
  });

  it('go on waiting while their run is paused', async () => {
    const { body, begun, open } = gate(works);
    lab.bodies = { prepare: body };
    const pipeline = cachedPlan();
    const one = await start(pipeline);
    await begun;
    const other = await start(pipeline);
    await untilWaiting(other);
    const deps = lab.parts;
    const steer = (action: 'pause' | 'continue'): Promise<unknown> =>
      controlPipelineRun(
        deps,
        { projectId, id: other.runId },
        { action, actor: 'ada', reason: '' },
      );
    await steer('pause');
    open();
    await one.result();
    // a timer that fires later would have it look again
    const handle = lab.env.client.workflow.getHandle(pipelineRunWorkflowId(other.runId));
    const fired = async (): Promise<number> => {
      const { events } = await handle.fetchHistory();
      return (events ?? []).filter(({ timerFiredEventAttributes: timer }) => timer != null).length;
    };
    const before = await fired();
    const untilMs = Date.now() + 20_000;
    while ((await fired()) === before && Date.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { status, reason } = await prepareOf(other.runId);
    expect(status).toBe('waiting');
    expect(reason).toMatch(/^the same work .*; the run is paused by ada/);
    await steer('continue');
    expect((await other.result()).status).toBe('succeeded');
    expect((await prepareOf(other.runId)).cache?.hit).toBe(true);
  });

  it('lets one that waits be skipped', async () => {
    const { body, begun, open } = gate(works);
    lab.bodies = { prepare: body };
    const pipeline = cachedPlan();
    const one = await start(pipeline);
    await begun;
    const other = await start(pipeline);
    await untilWaiting(other);
    const deps = lab.parts;
    const control = { action: 'skip', stepKey: 'prepare', actor: 'ada', reason: '' } as const;
    await controlPipelineRun(deps, { projectId, id: other.runId }, control);
    expect((await other.result()).status).toBe('succeeded');
    expect((await prepareOf(other.runId)).status).toBe('skipped');
    open();
    await one.result();
  });

  it('lose nothing when the control worker is replaced while they wait', async () => {
    const { body, begun, open } = gate(works);
    lab.bodies = { prepare: body };
    const pipeline = cachedPlan();
    const one = await start(pipeline);
    await begun;
    const other = await start(pipeline);
    await untilWaiting(other);
    await lab.restartControl();
    open();
    const ends = await Promise.all([one.result(), other.result()]);
    expect(ends.map(({ status }) => status)).toEqual(['succeeded', 'succeeded']);
    expect(ran).toEqual([one.runId]);
  });

  it('waits on in a new history when the old one is full', async () => {
    const { body, begun, open } = gate(works);
    const items = Array.from({ length: 1_024 }, (_, i) => i);
    lab.bodies = { prepare: body, list: () => Promise.resolve({ items: { value: items } }) };
    const pipeline = cachedPlan();
    const one = await start(pipeline);
    await begun;
    const [prepare] = pipeline.steps;
    const each = step('each', {
      uses: 'builtin/nothing',
      foreach: { i: 'steps.list.outputs.items' },
    });
    const list = step('list', { outputs: { items: { value: true } } });
    const { name, params } = pipeline;
    const other = await start({
      ...plan([...(prepare ? [prepare] : []), list, each], params),
      name,
    });
    const handle = lab.env.client.workflow.getHandle(pipelineRunWorkflowId(other.runId));
    const { runId: first } = await handle.describe();
    const untilMs = Date.now() + 60_000;
    while ((await handle.describe()).runId === first && Date.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect((await handle.describe()).runId).not.toBe(first);
    expect((await findPrepare(lab.database, other.runId))?.reason).toMatch(/^the same work/);
    open();
    const ends = await Promise.all([one.result(), other.result()]);
    expect(ends.map(({ status }) => status)).toEqual(['succeeded', 'succeeded']);
    expect(ran).toEqual([one.runId]);
    expect(await statesOf(other.runId)).toEqual(['ready', 'cached']);
  }, 120_000);

  it('decide the same when an activity is repeated', async () => {
    const { body, begun, open } = gate(works);
    lab.bodies = { prepare: body };
    const pipeline = cachedPlan();
    const one = await start(pipeline);
    await begun;
    const other = await start(pipeline);
    const before = await untilWaiting(other);
    const node = { key: 'prepare', kind: 'step', index: 0, needs: [], settings: 0 } as const;
    const ask = (runId: string): Promise<string> =>
      decideStep(lab.parts, { projectId, runId, node }).then(({ verdict }) => verdict);
    expect([await ask(other.runId), await ask(other.runId)]).toEqual(['wait', 'wait']);
    expect(await ask(one.runId)).toBe('run'); // it has the claim already
    expect(await prepareOf(other.runId)).toEqual(before);
    expect(await statesOf(other.runId)).toEqual(['ready']);
    open();
    await Promise.all([one.result(), other.result()]);
    expect(await ask(other.runId)).toBe('reuse');
  });
});
