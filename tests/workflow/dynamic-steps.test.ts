import { forecastPipelineRun } from '../../pipelines/forecasts';
import { getPipelineRun } from '../../pipelines/pipeline-runs';
import { resumePipelineRun } from '../../pipelines/resumes';
import { readRunGraph } from '../../pipelines/run-graphs';
import { listSteps } from '../../pipelines/step-reasons';
import type { PipelineRun } from '../../schemas/pipeline-runs';
import type { Outputs, Plan } from '../../schemas/plan';
import { decideStep } from '../../pipelines/decisions';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { findStep } from '../../storage/postgres/steps';
import { pipelineRunWorkflowId } from '../../workflows/contract';
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

const file = (text: string): string => `version: 1\nname: p\n${text}`;
const value = (v: unknown): Outputs => ({ v: { value: v as never } });
/** A plan whose step `search` runs what its step `generate` writes. */
const plan = (more = '', rest = ''): Plan =>
  compileYaml(
    file(`params: { wide: true, many: [0] }
steps:
  generate: { run: x, outputs: { plan: pipeline } }
  search: { pipeline: steps.generate.outputs.plan${more} }
${rest}`),
  );
/** What `generate` leaves behind. */
function write(...texts: (string | Buffer)[]): void {
  lab.bodies['generate'] = async () => ({ plan: await lab.written.write(...texts) });
}
async function reasonOf(runId: string, key: string): Promise<string> {
  const steps = await listSteps(lab.database, { projectId, runId });
  return steps.find((step) => step.key === key)?.reason ?? '';
}
const count = async (runId: string, of: string): Promise<number> => {
  const text = `SELECT count(*)::integer AS count FROM ${of} WHERE run_id = $1`;
  const [row] = await lab.database.postgres.query<{ count: number }>(text, [runId]);
  return row?.count ?? 0;
};

describe('a pipeline that a step has written', () => {
  it('runs with what it is given, and gives what it was asked for', async () => {
    write(
      file(`params: { times: { type: number, max: 9 }, model: { type: string } }
steps:
  fit: { run: 'x \${{ params.times }}', foreach: { i: '[1, 2, 3]' }, outputs: { v: value } }
  best: { uses: builtin/best, inputs: { runs: steps.fit.outputs }, with: { by: v } }
  use: { run: x, inputs: { model: params.model } }
outputs: { best: steps.best.outputs.v, item: steps.best.outputs.item, same: params.model }`),
    );
    const argvs: unknown[] = [];
    lab.bodies['search.fit'] = async ({ runId, stepKey }) => {
      const step = await findStep(lab.database.postgres, { projectId, runId, stepKey });
      argvs.push(step?.spec.argv);
      return value(10 * Number(step?.item?.['i']));
    };
    const model = await lab.written.write('weights');
    lab.bodies['first'] = () => Promise.resolve({ ...value(3), model });
    const given = `, with: { times: '\${{ steps.first.outputs.v }}', model: '\${{ steps.first.outputs.model }}' }`;
    const rest = `  first: { run: x, outputs: { v: value, model: pipeline } }
  last: { run: x, if: steps.search.outputs.best == 30, inputs: { i: steps.search.outputs.item } }`;
    const outputs = ', outputs: { best: value, item: value, same: pipeline }';
    const { runId, status, ...result } = await lab.run(plan(given + outputs, rest));
    expect(status).toBe('succeeded');
    expect(argvs).toEqual(Array(3).fill(['x', '${{ steps.first.outputs.v }}']));
    expect(result.outputs['search#outputs']).toEqual({
      best: { value: 30 },
      item: { value: { i: 3 } },
      same: model,
    });
    expect(await lab.statuses(runId)).toMatchObject({ search: 'succeeded', last: 'succeeded' });
    const { nodes, edges } = await readRunGraph(lab.database, { projectId, runId, isFull: true });
    expect(nodes.filter(({ key }) => key.startsWith('search')).map(({ key }) => key)).toEqual([
      'search.fit[0]',
      'search.fit[1]',
      'search.fit[2]',
      'search.fit',
      'search.best',
      'search.use',
      'search#outputs',
      'search',
    ]);
    expect(edges).toContainEqual({ from: 'search.fit', to: 'search.best' });
    const folded = await readRunGraph(lab.database, { projectId, runId, isFull: false });
    expect(folded.nodes.find(({ key }) => key === 'search')).toMatchObject({
      kind: 'group',
      status: 'succeeded',
      steps: { total: 6, byStatus: { succeeded: 6 } },
    });
  });

  it('may be a canonical plan in JSON', async () => {
    const written = compileYaml(file('steps: { a: { run: x }, b: { run: x, after: [a] } }'));
    write(JSON.stringify(written));
    const { runId, status } = await lab.run(plan());
    expect(status).toBe('succeeded');
    expect(await lab.statuses(runId)).toMatchObject({ 'search.b': 'succeeded' });
  });

  it('is not read if its step is skipped', async () => {
    write('no pipeline at all');
    const { runId, status } = await lab.run(plan(', if: "!params.wide"'));
    expect(status).toBe('succeeded');
    expect(await lab.statuses(runId)).toEqual({ generate: 'succeeded', search: 'skipped' });
    expect(await reasonOf(runId, 'search')).toBe('its condition is false: !params.wide');
  });

  const deep = `${'['.repeat(5_000)}${']'.repeat(5_000)}`;
  const plain = compileYaml(file('steps: { a: { run: x } }'));
  const hostile = `{"version":1,"name":"p","params":{},"steps":[${'['.repeat(100)}${']'.repeat(100)}]}`;
  it.each<[string, (string | Buffer)[], RegExp]>([
    [
      'mistakes, each with its line',
      [file('steps:\n  a: { run: x, pol: gpu }\n  b: { argv: 3 }')],
      /line 4: steps\.a\.pol 'pol' is not known here.*'pool'.*; line 5: steps\.b\.argv must be/,
    ],
    ['an alias', [file('steps: { a: &a { run: x }, b: *a }')], /uses a YAML alias/],
    ['endless brackets', [file(`steps: ${deep}`)], /nested too deeply/],
    ['endless brackets in JSON', [hostile], /nested too deeply/],
    ['a plan with other needs', [JSON.stringify({ ...plain, steps: [{ ...plain.steps[0], needs: ['b'] }] })], /needs must be \[\]/], // prettier-ignore
    ['a plan of another version', [JSON.stringify({ ...plain, version: 2 })], /version/],
    ['a step that writes another', [file('steps: { g: { run: x, outputs: { p: pipeline } }, d: { pipeline: steps.g.outputs.p } }')], /steps\.d runs a pipeline that a step writes/], // prettier-ignore
    ['handlers', [file('steps: { a: { run: x } }\nalways: [{ run: x }]')], /has handlers/],
    ['bytes that are no text', [Buffer.from([0xff, 0xfe, 0x00])], /is no text in UTF-8/],
    ['a NUL', [file('steps: { a: { argv: ["x", "\\0"] } }')], /NUL/],
    ['two files', ['a', 'b'], /the file has 2 files/],
    ['nothing', [''], /must be a mapping/],
    ['more than 2 MiB', [`# ${'x'.repeat(2 * 1024 * 1024)}`], /at most 2 MiB/],
    ['more than 1,000 steps', [file(`steps: { a: { run: x, foreach: { i: '[${Array(40).fill(1).join()}]', j: '[${Array(25).fill(1).join()}]' } }, b: { run: x } }`)], /has 1001 steps.*at most 1000/], // prettier-ignore
    ['needs that make it too long', [file(`steps:\n${wide(900)}`)], /more than 1\.5 MiB/],
  ])('is refused with %s; nothing of it is written', async (_, texts, reason) => {
    write(...texts);
    const { runId, status } = await lab.run(plan('', '  last: { run: x, after: [search] }'));
    expect(status).toBe('failed');
    expect(await lab.statuses(runId)).toEqual({
      generate: 'succeeded',
      search: 'failed',
      last: 'skipped',
    });
    expect(await reasonOf(runId, 'search')).toMatch(reason);
    expect(await count(runId, 'plan_fragments')).toBe(0);
  });

  it('is refused if the run would have more than 10,000 steps', async () => {
    const lists = `i: '[${Array(30).fill(1).join()}]', j: '[${Array(30).fill(1).join()}]'`;
    write(file(`steps: { a: { run: x, foreach: { ${lists} } } }`));
    const many = `  many: { uses: builtin/nothing, foreach: { i: params.many }, items_max: 10000, after: [search] }`;
    const params = { many: Array(9_200).fill(1) };
    const { runId, status } = await lab.run(plan('', many), params);
    expect(status).toBe('failed');
    expect(await reasonOf(runId, 'search')).toBe(
      'The run has more than 10000 steps, with every item of each foreach.',
    );
    expect(await count(runId, 'steps')).toBe(9_202);
  }, 120_000);

  it('of 1,000 steps stays within the limits of a history', async () => {
    const nothing = (i: number): string => {
      const after = i % 10 === 0 ? '' : `, after: [s${i - 1}]`;
      return `  s${i}: { uses: builtin/nothing${after}, priority: ${i % 3} }`;
    };
    write(file(`steps:\n${Array.from({ length: 1_000 }, (_, i) => nothing(i)).join('\n')}`));
    const { runId, status } = await lab.run(plan());
    expect(status).toBe('succeeded');
    expect(await count(runId, 'steps')).toBe(1_002);
    const handle = lab.env.client.workflow.getHandle(pipelineRunWorkflowId(runId));
    const { historyLength, historySize = 0 } = await handle.describe();
    expect(historyLength).toBeLessThan(4_096);
    expect(historySize).toBeLessThan(4 * 1024 * 1024);
  }, 240_000);

  it('is asked for again without a trace', async () => {
    write(
      file('steps: { a: { run: x, outputs: { v: value } } }\noutputs: { o: steps.a.outputs.v }'),
    );
    lab.bodies['search.a'] = () => Promise.resolve(value(1));
    const { runId } = await lab.run(plan(', outputs: [o]'));
    const rows = (): Promise<unknown[]> =>
      lab.database.postgres.query('SELECT * FROM steps WHERE run_id = $1 ORDER BY key', [runId]);
    const before = await rows();
    const node = { key: 'search', kind: 'expand', index: 1, needs: [], settings: 1 } as const;
    const asked = { projectId, runId, node };
    const twice = await Promise.all([decideStep(lab.parts, asked), decideStep(lab.parts, asked)]);
    expect(twice[0]).toEqual(twice[1]);
    expect(twice[0]).toMatchObject({
      verdict: 'expand',
      items: [
        { key: 'search.a', settings: 0 },
        { key: 'search#outputs', settings: 1 },
      ],
      settings: { of: [0, 1], kinds: [{ pool: 'cpu' }, { builtin: true }] },
    });
    expect(await rows()).toEqual(before);
    expect(await count(runId, 'plan_fragments')).toBe(1);
  });
});

/** So many steps, each of which needs the first 150 as far as they stand before it. */
function wide(length: number): string {
  const names = Array.from({ length }, (_, i) => `n${i}`);
  const needs = (i: number): string => names.slice(0, Math.min(i, 150)).join(', ');
  return names.map((name, i) => `  ${name}: { run: x, after: [${needs(i)}] }`).join('\n');
}

describe('a run with a written pipeline that is resumed', () => {
  const written = file(`steps:
  a: { run: x, outputs: { v: value } }
  b: { run: x, after: [a] }
outputs: { o: steps.a.outputs.v }`);
  const dynamic = plan(
    ', outputs: [o]',
    '  last: { run: x, inputs: { o: steps.search.outputs.o } }',
  );

  it('takes the results of the steps that stand in it, and says so before', async () => {
    write(written);
    lab.bodies['search.a'] = () => Promise.resolve(value(1));
    const { runId } = await lab.run(dynamic);
    const resume = { params: {}, dryRun: true };
    const told = await resumePipelineRun(lab.parts, { projectId, id: runId, resume });
    expect(outcomesIn(told)).toEqual({
      generate: 'reuse',
      'search.a': 'reuse',
      'search.b': 'reuse',
      'search#outputs': 'run',
      last: 'reuse',
    });
    const from = { ...resume, from: 'generate' };
    const again = await resumePipelineRun(lab.parts, { projectId, id: runId, resume: from });
    expect(outcomesIn(again)).toEqual({ generate: 'run', search: 'run', last: 'run' });
    lab.bodies = {}; // nothing may run: no step would leave anything behind
    const next = await resumePipelineRun(lab.parts, { projectId, id: runId, resume: { params: {}, dryRun: false } }); // prettier-ignore
    const { id } = next as PipelineRun;
    await lab.env.client.workflow.getHandle(pipelineRunWorkflowId(id)).result();
    expect((await getPipelineRun(lab.database, { projectId, id })).status).toBe('succeeded');
    const steps = await listSteps(lab.database, { projectId, runId: id });
    expect(steps.filter(({ cache }) => cache?.hit).map(({ key }) => key)).toEqual([
      'generate',
      'search.a',
      'search.b',
      'last',
    ]);
  });

  it('runs what is written now if that is something else', async () => {
    write(written);
    const { runId } = await lab.run(dynamic);
    write(
      file('steps: { c: { run: x, outputs: { v: value } } }\noutputs: { o: steps.c.outputs.v }'),
    );
    lab.bodies['search.c'] = () => Promise.resolve(value(2));
    const resume = { params: {}, dryRun: false, from: 'generate' };
    const next = await resumePipelineRun(lab.parts, { projectId, id: runId, resume });
    const { id } = next as PipelineRun;
    await lab.env.client.workflow.getHandle(pipelineRunWorkflowId(id)).result();
    expect(Object.keys(await lab.statuses(id))).toEqual([
      'generate',
      'search',
      'search.c',
      'search#outputs',
      'last',
    ]);
  });

  it('cannot be told before the first time', async () => {
    const told = await forecastPipelineRun(lab.parts, {
      projectId,
      start: { plan: dynamic, params: {} },
    });
    expect(told.map(({ key, outcome, reason }) => [key, outcome, reason]).slice(1)).toEqual([
      ['search', 'unknown', 'depends on what generate gives'],
      ['last', 'unknown', 'depends on what search gives'],
    ]);
  });
});

function outcomesIn(told: Awaited<ReturnType<typeof resumePipelineRun>>): unknown {
  if (!('steps' in told) || !Array.isArray(told.steps)) throw new Error('no forecast');
  return Object.fromEntries(told.steps.map(({ key, outcome }) => [key, outcome]));
}
