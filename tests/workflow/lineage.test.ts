import type { Lineage } from '../../schemas/lineage';
import { plan, step } from '../support/plans';
import { artifactOf, openStepLab, runStep, type StepLab } from '../support/step-lab';

let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

const write = (name: string, text: string): string =>
  `printf "${text}" > "$ANNEAL_OUTPUT_DIR/${name}"`;
/** A table; two models of it; a report on both, and a note that comes of nothing. */
const PLAN = plan(
  [
    step('prepare', {
      argv: ['sh', '-c', write('table', 'rows $0'), '${{ params.salt }}'],
      outputs: { table: { kind: 'dataset' } },
    }),
    step('train', {
      foreach: { lr: 'params.lrs' },
      argv: ['sh', '-c', write('model', 'weights $0 $1'), '${{ item.lr }}', '${{ params.salt }}'],
      inputs: { data: 'steps.prepare.outputs.table' },
      outputs: { model: { kind: 'model' } },
    }),
    step('report', {
      argv: ['sh', '-c', write('page', 'all is well $0'), '${{ params.salt }}'],
      inputs: { runs: 'steps.train.outputs', data: 'steps.prepare.outputs.table' },
      outputs: { page: { kind: 'file' } },
    }),
    step('note', { argv: ['sh', '-c', write('note', 'n $0'), '${{ params.salt }}'], outputs: { note: { kind: 'file' } } }),
  ],
  { lrs: { type: 'list' }, salt: { type: 'string' } },
); // prettier-ignore

/** A script that tracks a run of its own and leaves a file. */
const TRACKED = `
  const { MLFLOW_TRACKING_URI: uri, MLFLOW_TRACKING_TOKEN: token, ANNEAL_OUTPUT_DIR: out } = process.env;
  require('node:fs').writeFileSync(out + '/note', 'tracked');
  const headers = { authorization: 'Bearer ' + token, 'content-type': 'application/json' };
  const body = JSON.stringify({ experiment_id: '0' });
  fetch(uri + '/api/2.0/mlflow/runs/create', { method: 'POST', headers, body })
    .then((answer) => process.exit(answer.ok ? 0 : 1));`;

interface Made {
  readonly runId: string;
  readonly table: string;
  readonly models: readonly [string, string];
  readonly page: string;
  readonly note: string;
}

/** Runs every step of the plan; what it makes differs by `salt`. */
async function make(salt: string): Promise<Made> {
  const { runId } = await lab.begin(PLAN, { params: { lrs: [1, 2], salt } });
  const at = async (stepKey: string, output: string): Promise<string> =>
    artifactOf(await runStep(lab, runId, { stepKey }), output);
  const table = await at('prepare', 'table');
  const models = [await at('train[0]', 'model'), await at('train[1]', 'model')] as const;
  return { runId, table, models, page: await at('report', 'page'), note: await at('note', 'note') };
}

/** Registers an artifact as the newest version of a model. */
async function register(name: string, artifactId: string): Promise<void> {
  const source = `anneal:/artifacts/${artifactId}`;
  await lab.user.post('/api/2.0/mlflow/model-versions/create', { name, source });
}

function read(thing: string, query = ''): Promise<Lineage> {
  const [kind = '', ...rest] = thing.split(':');
  const id = encodeURIComponent(rest.join(':'));
  return lab.user.get<Lineage>(`/api/v1/lineage/${kind}/${id}${query}`);
}
/** The edges as `from -name-> to`, sorted. */
function edgesOf({ edges }: Lineage): string[] {
  return edges.map(({ from, to, name }) => `${from} -${name}-> ${to}`).sort();
}

it('leads from a model version back to all that it was made of', async () => {
  const { runId, table, models } = await make('back');
  await lab.user.post('/api/2.0/mlflow/registered-models/create', { name: 'back' });
  await register('back', models[1]);
  const alias = { name: 'back', alias: 'champion', version: '1' };
  await lab.db.postgres.query(
    `INSERT INTO model_aliases (project_id, model, alias, version, revision)
     VALUES ('default', $1, $2, $3, 1)`,
    [alias.name, alias.alias, 1],
  );
  const expected = [
    `artifact:${models[1]} --> model:back/1`,
    `artifact:${table} -data-> step:${runId}/train[1]`,
    `step:${runId}/prepare -table-> artifact:${table}`,
    `step:${runId}/train[1] -model-> artifact:${models[1]}`,
  ].sort();
  const up = await read('model:back/1', '?direction=up');
  expect(edgesOf(up)).toEqual(expected);
  expect(up).toMatchObject({ start: ['model:back/1'], isCut: false });
  expect(up.nodes).toMatchObject([
    { kind: 'model', id: 'back/1', model: 'back', version: 1, aliases: ['champion'] },
    { kind: 'artifact', id: models[1], artifactKind: 'model', sizeBytes: 'weights 2 back'.length },
    { kind: 'step', id: `${runId}/train[1]`, stepKey: 'train[1]', runId, pipeline: 'test' },
    { kind: 'artifact', id: table, artifactKind: 'dataset', sizeBytes: 'rows back'.length },
    { kind: 'step', stepKey: 'prepare' },
  ]);
  expect(edgesOf(await read('model:back@champion', '?direction=up'))).toEqual(expected);
});

it('leads from a table on to all that was made of it', async () => {
  const { runId, table, models, page } = await make('on');
  await lab.user.post('/api/2.0/mlflow/registered-models/create', { name: 'on' });
  await register('on', models[0]);
  const down = await read(`step:${runId}/prepare`, '?direction=down');
  expect(edgesOf(down)).toEqual(
    [
      `step:${runId}/prepare -table-> artifact:${table}`,
      `artifact:${table} -data-> step:${runId}/train[0]`,
      `artifact:${table} -data-> step:${runId}/train[1]`,
      `artifact:${table} -data-> step:${runId}/report`,
      `step:${runId}/train[0] -model-> artifact:${models[0]}`,
      `step:${runId}/train[1] -model-> artifact:${models[1]}`,
      `artifact:${models[0]} -runs-> step:${runId}/report`,
      `artifact:${models[1]} -runs-> step:${runId}/report`,
      `step:${runId}/report -page-> artifact:${page}`,
      `artifact:${models[0]} --> model:on/1`,
    ].sort(),
  );
});

it('goes both ways, so far as it is asked to, and says that there is more', async () => {
  const { runId, table, models } = await make('far');
  const near = await read(`step:${runId}/train[0]`, '?depth=1');
  expect(edgesOf(near)).toEqual([
    `artifact:${table} -data-> step:${runId}/train[0]`,
    `step:${runId}/train[0] -model-> artifact:${models[0]}`,
  ]);
  expect(near.isCut).toBe(true);
  const whole = await read(`artifact:${models[0]}`);
  expect(whole.isCut).toBe(false);
  expect(whole.nodes.map(({ id }) => id)).toContain(`${runId}/report`);
});

it('shows a run as all of its steps', async () => {
  const { runId, note } = await make('run');
  const { start, edges } = await read(`run:${runId}`, '?direction=down&depth=1');
  expect(start).toEqual(
    ['prepare', 'train[0]', 'train[1]', 'report', 'note'].map((key) => `step:${runId}/${key}`),
  );
  expect(edges).toContainEqual({
    from: `step:${runId}/note`,
    to: `artifact:${note}`,
    name: 'note',
  });
});

it('leads from a version whose files no step made to the step whose run they were taken of', async () => {
  const tracked = step('train', {
    argv: ['node', '-e', TRACKED],
    outputs: { note: { kind: 'file' } },
  });
  const { runId } = await lab.begin(plan([tracked]));
  const note = artifactOf(await runStep(lab, runId), 'note');
  const { steps } = await lab.user.get<{ steps: { trackedRunId: string }[] }>(
    `/api/v1/pipeline-runs/${runId}/steps`,
  );
  const trackedRunId = steps[0]?.trackedRunId ?? '';
  await lab.user.post('/api/2.0/mlflow/registered-models/create', { name: 'taken' });
  // the file `note` in a folder: not what the step left, which has its own name alone
  const source = `mlflow-artifacts:/0/${trackedRunId}/artifacts`;
  const version = { name: 'taken', source, run_id: trackedRunId };
  await lab.user.post('/api/2.0/mlflow/model-versions/create', version);
  const up = await read('model:taken/1', '?direction=up');
  const taken = { from: `step:${runId}/train`, to: 'model:taken/1', name: '' };
  expect(up.edges).toContainEqual(taken);
  expect(up.edges).toHaveLength(2); // and the artifact with the files, which no step has made
  expect((await read(`step:${runId}/train`)).edges).toContainEqual(taken);
  expect(up.nodes.map(({ id }) => id)).not.toContain(note);
});

it.each([
  ['artifact:none', 'NOT_FOUND', 'artifact'],
  ['step:none/a', 'NOT_FOUND', 'step'],
  ['step:none', 'INVALID_ARGUMENT', 'RUN/STEP'],
  ['model:none/1', 'NOT_FOUND', 'model version'],
  ['model:none/one', 'NOT_FOUND', 'model version'],
  ['model:none@champion', 'NOT_FOUND', 'alias'],
  ['run:none', 'NOT_FOUND', 'pipeline run'],
  ['horse:none', 'INVALID_ARGUMENT', 'kind'],
  ['artifact:none?x', 'NOT_FOUND', 'artifact'],
])('refuses %s', async (thing, code, word) => {
  await expect(read(thing)).rejects.toMatchObject({ code });
  await expect(read(thing)).rejects.toThrow(word);
});
