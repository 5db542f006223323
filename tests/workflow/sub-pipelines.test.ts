import { forecastPipelineRun } from '../../pipelines/forecasts';
import { getPipelineRun } from '../../pipelines/pipeline-runs';
import { controlPipelineRun } from '../../pipelines/run-controls';
import { readRunGraph } from '../../pipelines/run-graphs';
import type { Outputs } from '../../schemas/plan';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { findStep } from '../../storage/postgres/steps';
import { openWorkflowLab, stepFailure, type WorkflowLab, tick } from '../support/workflow-lab';

const projectId = 'default';
let lab: WorkflowLab;
beforeAll(async () => {
  lab = await openWorkflowLab();
});
afterAll(() => lab.close());
beforeEach(() => {
  lab.bodies = {};
});

const wrap = (steps: string, head = ''): string => `version: 1\nname: p\n${head}steps:\n${steps}`;
const value = (v: unknown): Outputs => ({ v: { value: v as never } });
/** A step that gives the values of its item. */
const giveItem = async ({
  runId,
  stepKey,
}: {
  runId: string;
  stepKey: string;
}): Promise<Outputs> => {
  const step = await findStep(lab.database.postgres, { projectId, runId, stepKey });
  return value(step?.item);
};
async function outputsOf(runId: string, stepKey: string): Promise<Outputs | null | undefined> {
  return (await findStep(lab.database.postgres, { projectId, runId, stepKey }))?.outputs;
}
const SWEEP = `
  sweep:
    foreach: { lr: LIST }
    parallel: 1
    steps:
      fit:
        foreach: { seed: params.seeds }
        run: x
        inputs: { lr: item.lr }
        outputs: { v: value }
      best: { uses: builtin/best, inputs: { runs: steps.fit.outputs }, with: { by: v } }
    outputs: { top: steps.best.outputs.v }
  pick: { uses: builtin/best, inputs: { runs: steps.sweep.outputs }, with: { by: top } }
`;

describe('a sub-pipeline inside a foreach', () => {
  /** The best of 10 · lr + seed over seeds 1 and 2. */
  const bodies = (): WorkflowLab['bodies'] =>
    Object.fromEntries(
      [0, 1].map((i) => [
        `sweep[${i}].fit`,
        async (input) => {
          const { v } = await giveItem(input);
          const item = (v as { value: { lr: number; seed: number } }).value;
          return value(item.lr * 10 + item.seed);
        },
      ]),
    );

  it('over params runs once per item, and gives the outputs of each', async () => {
    lab.bodies = bodies();
    const head = 'params: { lrs: [3, 4], seeds: [1, 2] }\n';
    const result = await lab.run(compileYaml(wrap(SWEEP.replace('LIST', 'params.lrs'), head)));
    expect(result.status).toBe('succeeded');
    expect(result.outputs['pick']).toEqual({ top: { value: 42 }, item: { value: { lr: 4 } } });
    const keys = Object.keys(await lab.statuses(result.runId));
    expect(keys).toContain('sweep[1].fit[0]');
    expect(await outputsOf(result.runId, 'sweep[0]#outputs')).toEqual({ top: { value: 32 } });
  });

  it('over what an earlier step gave is the same, one item after the other', async () => {
    const order: string[] = [];
    const note =
      (body: WorkflowLab['bodies'][string] | undefined): WorkflowLab['bodies'][string] =>
      async (input, signal) => {
        order.push(input.stepKey);
        return (await body?.(input, signal)) ?? {};
      };
    const [first, second] = Object.entries(bodies());
    lab.bodies = {
      list: () => Promise.resolve(value([3, 4])),
      'sweep[0].fit': note(first?.[1]),
      'sweep[1].fit': note(second?.[1]),
    };
    const steps = `  list: { run: x, outputs: { v: value } }${SWEEP}`;
    const head = 'params: { seeds: [1, 2] }\n';
    const plan = compileYaml(wrap(steps.replace('LIST', 'steps.list.outputs.v'), head));
    const result = await lab.run(plan);
    expect(result.outputs['pick']).toEqual({ top: { value: 42 }, item: { value: { lr: 4 } } });
    expect(order.map((key) => key.slice(0, 8))).toEqual([
      'sweep[0]',
      'sweep[0]',
      'sweep[1]',
      'sweep[1]',
    ]);
    const graph = await readRunGraph(lab.database, {
      projectId,
      runId: result.runId,
      isFull: false,
    });
    expect(graph.nodes.map(({ key, status }) => `${key} ${status}`)).toEqual([
      'list succeeded',
      'sweep succeeded',
      'pick succeeded',
    ]);
  });
});

it('a foreach over two lists runs every combination, the last list first', async () => {
  const head = 'params: { lrs: [0.1, 0.2], seeds: [1, 2, 3] }\n';
  const plan = compileYaml(
    wrap(
      '  a: { foreach: { lr: params.lrs, seed: params.seeds }, run: x, outputs: { v: value } }\n',
      head,
    ),
  );
  lab.bodies = { a: giveItem };
  const { outputs, status } = await lab.run(plan);
  expect(status).toBe('succeeded');
  const items = [0, 1, 2, 3, 4, 5].map((i) => outputs[`a[${i}]`]?.['v']);
  expect(items).toEqual(
    [0.1, 0.2].flatMap((lr) => [1, 2, 3].map((seed) => ({ value: { lr, seed } }))),
  );
});

describe('a step with an else', () => {
  const plan = compileYaml(
    wrap(
      `
  a:
    run: x
    if: params.n > 1
    else:
      b: { run: x }
  then: { run: x, after: [a] }
  other: { run: x, after: [b] }
`,
      'params: { n: { type: number } }\n',
    ),
  );
  it.each([
    [2, { a: 'succeeded', then: 'succeeded', b: 'skipped', other: 'skipped' }],
    [1, { a: 'skipped', then: 'skipped', b: 'succeeded', other: 'succeeded' }],
  ])('runs one of both and what follows it (n = %i)', async (n, ends) => {
    const { runId, status } = await lab.run(plan, { n });
    expect(status).toBe('succeeded');
    expect(await lab.statuses(runId)).toEqual(ends);
  });
});

describe('a sub-pipeline that stands alone', () => {
  const plan = compileYaml(
    wrap(
      `
  sub:
    if: params.on
    steps:
      fit: { run: x, retry: { max: 0 } }
      eval: { run: x, after: [fit] }
  then: { run: x, after: [sub] }
  beside: { run: x }
`,
      'params: { on: true }\n',
    ),
  );
  const asked = { actor: 'ada', reason: '' } as const;

  it('is skipped as a whole', async () => {
    const { runId, status } = await lab.run(plan, { on: false });
    expect(status).toBe('succeeded');
    expect(await lab.statuses(runId)).toEqual({
      'sub#begin': 'skipped',
      'sub.fit': 'skipped',
      'sub.eval': 'skipped',
      then: 'skipped',
      beside: 'succeeded',
    });
  });

  it('fails the run once, by its failed step', async () => {
    lab.bodies = { 'sub.fit': () => Promise.reject(stepFailure('data', 'no such table')) };
    const { runId, status } = await lab.run(plan);
    expect(status).toBe('failed');
    expect(await lab.statuses(runId)).toMatchObject({ 'sub.eval': 'skipped', then: 'skipped' });
    const { reason } = await getPipelineRun(lab.database, { projectId, id: runId });
    expect(reason).toMatch(/^sub: .*sub\.fit: data: no such table/);
  });

  it('lets one of its steps be run again, and one be skipped', async () => {
    let isBroken = true;
    let open = (): void => undefined;
    let begin = (): void => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const opened = new Promise<void>((resolve) => (open = resolve));
    lab.bodies = {
      'sub.fit': () =>
        isBroken ? Promise.reject(stepFailure('data', 'broken')) : Promise.resolve({}),
      beside: async () => {
        begin();
        await opened;
        return {};
      },
    };
    const run = await lab.start({ plan });
    const deps = lab.parts;
    const key = { projectId, id: run.runId };
    await begun;
    while ((await lab.statuses(run.runId))['then'] !== 'skipped') await tick();
    const whole = { ...asked, action: 'retry', stepKey: 'sub' } as const;
    await expect(controlPipelineRun(deps, key, whole)).rejects.toThrow(
      "'sub' holds steps: name one of them",
    );
    isBroken = false;
    await controlPipelineRun(deps, key, { ...asked, action: 'pause' });
    await controlPipelineRun(deps, key, { ...asked, action: 'retry', stepKey: 'sub.fit' });
    await controlPipelineRun(deps, key, { ...asked, action: 'skip', stepKey: 'sub.eval' });
    await controlPipelineRun(deps, key, { ...asked, action: 'continue' });
    open();
    expect((await run.result()).status).toBe('succeeded');
    expect(await lab.statuses(run.runId)).toMatchObject({
      'sub.fit': 'succeeded',
      'sub.eval': 'skipped',
      then: 'succeeded',
    });
  });
});

describe('the outputs of a sub-pipeline', () => {
  it('are none where a step failed, also one that they do not read', async () => {
    const fails = (): Promise<Outputs> => Promise.reject(stepFailure('crash', 'exit 1'));
    lab.bodies = Object.fromEntries([0, 1, 2, 3].map((i) => [`s[${i}].x`, giveItem]));
    lab.bodies['s[2].y'] = fails;
    lab.bodies['s[3].y'] = fails;
    const plan = compileYaml(
      wrap(
        `
  s:
    foreach: { i: params.is }
    min_success: 0.5
    steps:
      x: { run: x, outputs: { v: value } }
      y: { run: x, after: [x], retry: { max: 0 } }
    outputs: { i: steps.x.outputs.v.i }
  best: { uses: builtin/best, inputs: { runs: steps.s.outputs }, with: { by: i } }
`,
        'params: { is: [1, 2, 3, 4] }\n',
      ),
    );
    const { runId, status, outputs } = await lab.run(plan);
    expect(status).toBe('succeeded');
    expect(outputs['best']).toMatchObject({ i: { value: 2 } }); // of the two that succeeded
    const { 's[2]#outputs': failed, 's[1]#outputs': good } = await lab.statuses(runId);
    expect({ failed, good }).toEqual({ failed: 'skipped', good: 'succeeded' });
  });

  it('are skipped with the step that they read, though another one ran', async () => {
    const plan = compileYaml(
      wrap(`
  s:
    steps:
      x: { if: 1 > 2, run: x, outputs: { v: value } }
      z: { run: x }
    outputs: { v: steps.x.outputs.v }
`),
    );
    const { runId, status } = await lab.run(plan);
    expect(status).toBe('succeeded');
    expect(await lab.statuses(runId)).toMatchObject({ 's.z': 'succeeded', 's#outputs': 'skipped' });
    const start = { plan, params: {} };
    const told = await forecastPipelineRun(lab.parts, { projectId, start });
    expect(told.find(({ key }) => key === 's#outputs')).toMatchObject({ outcome: 'skip' });
  });
});
