import type { Plan } from '../../schemas/plan';
import { compileYaml } from '../../sdk/pipeline-yaml';
import {
  openWorkflowLab,
  stepFailure,
  untilAborted,
  type WorkflowLab,
  tick,
} from '../support/workflow-lab';

let lab: WorkflowLab;
beforeAll(async () => {
  lab = await openWorkflowLab();
});
afterAll(() => lab.close());
beforeEach(() => {
  lab.bodies = {};
});
it('runs sub-pipelines in parts, a few at once across all parts', async () => {
  const ITEMS = 150;
  const plan = compileYaml(`
version: 1
name: many
params: { items: { type: list } }
steps:
  each:
    foreach: { i: params.items }
    parallel: 5
    steps:
      first: { uses: builtin/nothing }
      then: { uses: builtin/nothing, after: [first] }
      last: { run: x, after: [then], if: item.i == 149 }
  after: { run: x, after: [each] }
`);
  const { runId, status } = await lab.run(plan, { items: [...Array(ITEMS).keys()] });
  expect(status).toBe('succeeded');
  const ends = await lab.statuses(runId);
  expect(Object.keys(ends)).toHaveLength(ITEMS * 4 - 5 + 1); // the first five need no #begin
  expect(ends).toMatchObject({
    'each[149].last': 'succeeded',
    'each[148].last': 'skipped',
    after: 'succeeded',
  });
  const { rows } = await beginsAndEnds(runId);
  const open = rows.map(({ begins }) => rows.filter((row) => isOver(row, begins)).length);
  expect(Math.max(...open)).toBeLessThanOrEqual(5);
});

interface Item {
  readonly begins: number;
  readonly ends: number;
}
function isOver({ begins, ends }: Item, at: number): boolean {
  return begins <= at && at < ends;
}
/** When the first step of each sub-pipeline began, and its last one ended. */
async function beginsAndEnds(runId: string): Promise<{ rows: Item[] }> {
  const rows = await lab.database.postgres.query<Item>(
    `SELECT extract(epoch FROM min(started_at))::float8 AS begins,
       extract(epoch FROM max(ended_at))::float8 AS ends
     FROM steps WHERE run_id = $1 AND key ~ '^each\\[\\d+\\]\\.(first|then)$'
     GROUP BY split_part(key, '.', 1)`,
    [runId],
  );
  return { rows };
}

describe('a run with a sub-pipeline', () => {
  const plan: Plan = compileYaml(`
version: 1
name: p
params: { lrs: [1, 2] }
steps:
  sweep:
    foreach: { lr: params.lrs }
    steps:
      fit: { run: 'fit \${{ item.lr }}', outputs: { v: value }, retry: { max: 0 } }
      eval: { run: x, inputs: { v: steps.fit.outputs.v }, outputs: { v: value }, retry: { max: 0 } }
    outputs: { v: steps.eval.outputs.v }
  pick: { uses: builtin/best, inputs: { runs: steps.sweep.outputs }, with: { by: v } }
`);

  it('is resumed with what has succeeded inside', async () => {
    const ran: string[] = [];
    let isBroken = true;
    const give =
      (v: number): WorkflowLab['bodies'][string] =>
      ({ stepKey }) => {
        ran.push(stepKey);
        if (isBroken && stepKey === 'sweep[1].eval') {
          return Promise.reject(stepFailure('data', 'broken'));
        }
        return Promise.resolve({ v: { value: v } });
      };
    lab.bodies = {
      'sweep[0].fit': give(1),
      'sweep[1].fit': give(2),
      'sweep[0].eval': give(3),
      'sweep[1].eval': give(4),
    };
    const first = await lab.run(plan);
    expect(first.status).toBe('failed');
    expect(await lab.statuses(first.runId)).toMatchObject({
      'sweep[0]#outputs': 'succeeded',
      'sweep[1]#outputs': 'skipped',
      pick: 'skipped',
    });
    isBroken = false;
    ran.splice(0);
    const again = await lab.start({ plan, resumedFrom: first.runId });
    const { status, outputs } = await again.result();
    expect(status).toBe('succeeded');
    expect(ran).toEqual(['sweep[1].eval']);
    expect(outputs['pick']).toEqual({ v: { value: 4 }, item: { value: { lr: 2 } } });
  });

  it('is cancelled with all that is inside', async () => {
    let begin = (): void => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    lab.bodies = {
      'sweep[0].fit': () => Promise.resolve({ v: { value: 1 } }),
      'sweep[0].eval': () => Promise.resolve({ v: { value: 1 } }),
      'sweep[1].fit': async (_, signal) => {
        begin();
        await untilAborted(signal);
        throw stepFailure('preempted', 'stopped');
      },
    };
    const run = await lab.start({ plan });
    await begun;
    while ((await lab.statuses(run.runId))['sweep[0]#outputs'] !== 'succeeded') await tick();
    await run.cancel();
    expect((await run.result()).status).toBe('cancelled');
    expect(await lab.statuses(run.runId)).toEqual({
      'sweep[0].fit': 'succeeded',
      'sweep[0].eval': 'succeeded',
      'sweep[0]#outputs': 'succeeded',
      'sweep[1].fit': 'cancelled',
      'sweep[1].eval': 'cancelled',
      'sweep[1]#outputs': 'cancelled',
      pick: 'cancelled',
    });
  });
});
