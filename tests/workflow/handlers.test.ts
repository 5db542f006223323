import { getPipelineRun } from '../../pipelines/pipeline-runs';
import { controlPipelineRun } from '../../pipelines/run-controls';
import { readRunGraph } from '../../pipelines/run-graphs';
import { listTransitions } from '../../pipelines/transitions';
import { renderStep } from '../../pipelines/step-scope';
import type { ExecuteStepInput } from '../../schemas/attempts';
import type { Outputs } from '../../schemas/plan';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { findStep } from '../../storage/postgres/steps';
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
let said: string[];
beforeEach(() => {
  said = [];
  lab.bodies = {};
});

/** Says the key of the step, and its command with everything worked out. */
const say: StepBody = async (input) => {
  said.push(`${input.stepKey}: ${await commandOf(input)}`);
  return {};
};
async function commandOf(input: ExecuteStepInput): Promise<string> {
  const step = await findStep(lab.database.postgres, input);
  if (step === undefined) throw new Error('no such step');
  return (await renderStep(lab.database, input, step)).argv.join(' ');
}
const fail: StepBody = () => Promise.reject(stepFailure('data', 'no such table'));
const PLAN = compileYaml(`
version: 1
name: p
params: { to: ops }
steps:
  a: { run: work, outputs: { v: value }, retry: { max: 0 } }
  b: { run: work, after: [a] }
on_success:
  - { name: tell, run: 'tell \${{ params.to }} \${{ run.status }} \${{ steps.a.outputs.v }}' }
on_failure:
  - { name: tell, run: 'tell \${{ run.status }} \${{ run.reason }}', retry: { max: 0 } }
  - { name: quiet, if: run.reason == "", run: nothing }
always:
  - { name: clean, if: run.status != "", run: 'clean after \${{ run.status }}' }
`);
const VALUE: Outputs = { v: { value: 7 } };
const HANDLERS = {
  'on_success.tell': say,
  'on_failure.tell': say,
  'on_failure.quiet': say,
  'always.clean': say,
};

describe('exit handlers', () => {
  it('of a run that has succeeded run one after the other, behind its steps', async () => {
    lab.bodies = { ...HANDLERS, a: () => Promise.resolve(VALUE) };
    const { runId, status } = await lab.run(PLAN);
    expect(status).toBe('succeeded');
    expect(said).toEqual([
      'on_success.tell: tell ops succeeded 7',
      'always.clean: clean after succeeded',
    ]);
    const ends = await lab.statuses(runId);
    expect(Object.entries(ends)).toEqual([
      ['a', 'succeeded'],
      ['b', 'succeeded'],
      ['on_success.tell', 'succeeded'],
      ['always.clean', 'succeeded'],
    ]);
    const all = await listTransitions(lab.database, { projectId, runId, after: 0, limit: 100 });
    const states = all.filter(({ stepKey }) => stepKey === 'always.clean').map((t) => t.state);
    expect(states.sort()).toEqual(['ready', 'started', 'succeeded']);
    const graph = await readRunGraph(lab.database, { projectId, runId, isFull: true });
    expect(graph.nodes.map(({ key }) => key)).toEqual(Object.keys(ends));
    expect(graph.edges).toContainEqual({ from: 'on_success.tell', to: 'always.clean' });
  });

  it('of a run that has failed read why', async () => {
    lab.bodies = { ...HANDLERS, a: fail };
    const { runId, status } = await lab.run(PLAN);
    expect(status).toBe('failed');
    const { reason } = await getPipelineRun(lab.database, { projectId, id: runId });
    expect(said).toEqual([
      `on_failure.tell: tell failed ${reason ?? ''}`,
      'always.clean: clean after failed',
    ]);
    expect(await lab.statuses(runId)).toEqual({
      a: 'failed',
      b: 'skipped',
      'on_failure.tell': 'succeeded',
      'on_failure.quiet': 'skipped',
      'always.clean': 'succeeded',
    });
  });

  it('always run after a cancel, which does not reach them', async () => {
    let begin = (): void => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    lab.bodies = {
      ...HANDLERS,
      a: async (_, signal) => {
        begin();
        await untilAborted(signal);
        throw stepFailure('preempted', 'stopped');
      },
      'always.clean': async (input, signal) => {
        await say(input, signal);
        said.push(`aborted: ${String(signal.aborted)}`);
        return {};
      },
    };
    const run = await lab.start({ plan: PLAN });
    await begun;
    await run.cancel();
    expect((await run.result()).status).toBe('cancelled');
    expect(said).toEqual(['always.clean: clean after cancelled', 'aborted: false']);
    expect(await lab.statuses(run.runId)).toEqual({
      a: 'cancelled',
      b: 'cancelled',
      'always.clean': 'succeeded',
    });
  });

  it('that fail are recorded, and change nothing of the run or the next one', async () => {
    lab.bodies = { ...HANDLERS, a: fail, 'on_failure.tell': fail };
    const { runId, status } = await lab.run(PLAN);
    expect(status).toBe('failed');
    const run = await getPipelineRun(lab.database, { projectId, id: runId });
    expect(run.reason).toMatch(/^a: data/);
    expect(said).toEqual(['always.clean: clean after failed']);
    expect(await lab.statuses(runId)).toMatchObject({ 'on_failure.tell': 'failed' });
    lab.bodies = { ...HANDLERS, a: () => Promise.resolve(VALUE), 'always.clean': fail };
    const other = await lab.run(PLAN);
    expect(other.status).toBe('succeeded');
    expect(await lab.statuses(other.runId)).toMatchObject({ 'on_success.tell': 'succeeded' });
  });

  it('can be skipped by somebody while they run', async () => {
    let begin = (): void => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    lab.bodies = {
      ...HANDLERS,
      a: () => Promise.resolve(VALUE),
      'on_success.tell': async (_, signal) => {
        begin();
        await untilAborted(signal);
        throw stepFailure('preempted', 'stopped');
      },
    };
    const run = await lab.start({ plan: PLAN });
    await begun;
    const deps = { postgres: lab.database.postgres, starter: lab.starter };
    const skip = { actor: 'ada', reason: 'it hangs', action: 'skip' } as const;
    const key = { projectId, id: run.runId };
    await controlPipelineRun(deps, key, { ...skip, stepKey: 'on_success.tell' });
    expect((await run.result()).status).toBe('succeeded');
    expect(await lab.statuses(run.runId)).toMatchObject({
      'on_success.tell': 'skipped',
      'always.clean': 'succeeded',
    });
  });

  it('run again at the end of a resumed run', async () => {
    lab.bodies = { ...HANDLERS, a: () => Promise.resolve(VALUE) };
    const first = await lab.run(PLAN);
    const again = await lab.start({ plan: PLAN, resumedFrom: first.runId });
    await again.result();
    const cleaned = said.filter((line) => line.startsWith('always.clean'));
    expect(cleaned).toHaveLength(2);
  });

  it('go on in a new history without the steps running again', async () => {
    lab.bodies = { ...HANDLERS, a: say };
    // what the workflow itself carries into it
    const handled = {
      isCancelled: false,
      failed: [{ key: 'a', end: 'failed', reason: 'no' }],
    } as const;
    const ended = [{ key: 'on_failure.tell', end: 'succeeded' }] as const;
    const carried = { ended, expanded: [], attempts: [], isPaused: false, priority: 3 };
    const run = await lab.start({ plan: PLAN, handled, carried });
    expect((await run.result()).status).toBe('failed');
    expect(said).toEqual(['always.clean: clean after failed']);
  });

  it('of a run in parts run once, when all parts have ended', async () => {
    const many = compileYaml(`
version: 1
name: many
params: { items: { type: list } }
steps:
  each: { foreach: { i: params.items }, uses: builtin/nothing }
always:
  - { name: clean, run: 'clean after \${{ run.status }}' }
`);
    lab.bodies = HANDLERS;
    const { runId, status } = await lab.run(many, { items: [...Array(405).keys()] });
    expect(status).toBe('succeeded');
    expect(said).toEqual(['always.clean: clean after succeeded']);
    expect((await lab.statuses(runId))['always.clean']).toBe('succeeded');
  });
});
