import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { openStarter } from '../../api/starter';
import { parseConfig } from '../../config/config';
import { deliverNext } from '../../pipelines/outbox';
import { changeAlias } from '../../registry/model-aliases';
import { createModelVersion } from '../../registry/model-versions';
import { createRegisteredModel } from '../../registry/registered-models';
import type { PipelineRun } from '../../schemas/pipeline-runs';
import { openDeploymentsLab, type DeploymentsLab } from '../support/deployments-lab';
import { plan, step } from '../support/plans';
import { putArtifact } from '../support/registry';
import { until } from '../support/step-lab';

const projectId = 'default';
const ROOT = join(__dirname, '..', '..');
const PARAMS = {
  n: { type: 'number', default: 0 },
  word: { type: 'string', default: '' },
} as const;
const PLAN = plan([step('a')], PARAMS);
let lab: DeploymentsLab;
let keys = 0;
beforeAll(async () => {
  lab = await openDeploymentsLab();
});
afterAll(async () => {
  await lab.close();
});
beforeEach(async () => {
  lab.bodies = {};
  await deliver(); // what earlier tests have left
});

const events = (): Promise<unknown[]> => lab.database.postgres.query('SELECT * FROM outbox');
/** Delivers what waits, by so many control workers at once; what one threw is thrown. */
async function deliver(workers = 1): Promise<void> {
  const deps = { ...lab.database, starter: lab.starter, log: () => undefined };
  const worker = async (): Promise<void> => {
    while (await deliverNext(deps));
  };
  await Promise.all(Array.from({ length: workers }, worker));
}
async function deploy(name: string, triggers: object, extra: object = {}): Promise<void> {
  await lab.deploy(name, { plan: PLAN, triggers, ...extra });
}
/** A model's next version; the model is made at its first. */
async function register(
  model: string,
  from: { actor?: string; runId?: string } = {},
): Promise<void> {
  const { actor = 'ada', ...run } = from;
  const made = { projectId, actor };
  await createRegisteredModel(lab.database, { ...made, name: model }).catch(() => undefined);
  const source = `anneal:/artifacts/${await putArtifact(lab.database.postgres, 'aa')}`;
  await createModelVersion(lab.database, { ...made, ...run, model, source });
}
async function setAlias(model: string, version: number | null, alias = 'champion'): Promise<void> {
  keys += 1;
  const by = { actor: 'ada', reason: '', idempotencyKey: `k${keys}` };
  await changeAlias(lab.database, { projectId, model, change: { alias, version, ...by } });
}
async function paramsOf(name: string): Promise<unknown[]> {
  return (await lab.runsOf(name)).map(({ params }) => params['n']).reverse();
}

describe('a new version of a model', () => {
  it('starts a run of each pipeline that listens, and of no other', async () => {
    const params = { n: 'event.version', word: 'event.model' };
    await register('digits'); // before anybody listens
    await deploy('on-version', { models: [{ name: 'digits', event: 'version', params }] });
    await deploy('also', { models: [{ name: 'digits', event: 'version' }] });
    await deploy('on-other', { models: [{ name: 'other', event: 'version' }] });
    await deploy('on-alias', { models: [{ name: 'digits', event: 'alias' }] });
    await register('digits');
    await deliver();
    const runs = await lab.runsOf('on-version');
    expect(runs).toMatchObject([{ params: { n: 2, word: 'digits' } }]);
    const of = { name: 'on-version', version: 1 };
    expect(runs[0]?.trigger).toEqual({
      ...{ kind: 'model', subject: 'digits v2', deployment: of, chain: [] },
    });
    expect(await lab.runsOf('also')).toHaveLength(1);
    expect([await lab.runsOf('on-other'), await lab.runsOf('on-alias')]).toEqual([[], []]);
    expect(await events()).toEqual([]);
  });

  it('starts no run of a pipeline that was deleted, or listens no more', async () => {
    const triggers = { models: [{ name: 'fading', event: 'version' }] };
    await deploy('fading', triggers);
    await deploy('deleted', triggers);
    await deploy('fading', {});
    await lab.call('DELETE', '/pipelines/deleted');
    await register('fading');
    await deliver();
    expect([await lab.runsOf('fading'), await lab.runsOf('deleted')]).toEqual([[], []]);
  });

  it('starts a run with the version that holds when it is delivered', async () => {
    const models = [{ name: 'moving', event: 'version' }];
    await deploy('moving', { models });
    await register('moving');
    await deploy('moving', { models }, { params: { n: 7 } });
    await deliver();
    expect(await lab.runsOf('moving')).toMatchObject([
      { params: { n: 7 }, trigger: { deployment: { version: 2 } } },
    ]);
  });
});

it('starts runs when an alias is set, the named one or any, not when it is removed', async () => {
  const params = { n: 'event.version' };
  await deploy('champion', {
    models: [{ name: 'aliased', event: 'alias', alias: 'champion', params }],
  });
  await deploy('any-alias', { models: [{ name: 'aliased', event: 'alias', params }] });
  await register('aliased');
  await register('aliased');
  await setAlias('aliased', 1);
  await setAlias('aliased', 2, 'shadow');
  await setAlias('aliased', 2);
  await setAlias('aliased', null);
  await deliver();
  expect(await paramsOf('champion')).toEqual([1, 2]);
  expect(await paramsOf('any-alias')).toEqual([1, 2, 2]);
  const [last] = await lab.runsOf('champion');
  expect(last?.trigger?.subject).toBe('aliased@champion v2');
});

describe('a dataset', () => {
  const MAKES = plan([{ ...step('prepare'), outputs: { table: { kind: 'dataset' } } }]);
  const params = { word: 'event.artifact' };
  const triggers = {
    datasets: [{ pipeline: 'test', step: 'prepare', output: 'table', params }],
  };
  /** Runs the pipeline `test`, whose step leaves this dataset behind. */
  async function commit(artifact: string): Promise<void> {
    lab.bodies = { prepare: () => Promise.resolve({ table: { artifact, kind: 'dataset' } }) };
    await lab.run(MAKES);
    await deliver();
  }

  it('starts a run if it differs from the one before, also if it comes again later', async () => {
    await deploy('on-table', triggers);
    await commit('a'.repeat(64));
    await commit('a'.repeat(64));
    await deploy('on-table', triggers, { params: { n: 1 } });
    await commit('a'.repeat(64));
    await commit('b'.repeat(64));
    await commit('a'.repeat(64));
    const runs = await lab.runsOf('on-table');
    const words = ['a', 'b', 'a'].map((digit) => digit.repeat(64));
    expect(runs.map(({ params: { word } }) => word).reverse()).toEqual(words);
    expect(runs[0]?.trigger?.subject).toMatch(/^test\/prepare\/table of run [0-9a-f]+$/);
  });

  it('is no event where nobody listens', async () => {
    await lab.call('DELETE', '/pipelines/on-table');
    lab.bodies = {
      prepare: () => Promise.resolve({ table: { artifact: 'c'.repeat(64), kind: 'dataset' } }),
    };
    await lab.run(MAKES);
    expect(await events()).toEqual([]);
  });
});

describe('an event that cannot start a run', () => {
  it('is told with the pipeline, holds up no other, and is gone', async () => {
    const wrong = { word: 'event.version' };
    await deploy('failing', { models: [{ name: 'shared', event: 'version', params: wrong }] });
    await deploy('fine', { models: [{ name: 'shared', event: 'version' }] });
    await register('shared');
    await deliver();
    expect((await lab.show('failing')).lastError).toMatchObject({
      message: 'model shared v1 started no run: params.word must be a string, not 1.',
    });
    expect(await lab.runsOf('failing')).toEqual([]);
    expect(await lab.runsOf('fine')).toHaveLength(1);
    expect(await lab.show('fine')).toMatchObject({ lastError: null });
    expect(await events()).toEqual([]);
    await deploy('failing', { models: [{ name: 'shared', event: 'version' }] });
    expect(await lab.show('failing')).toMatchObject({ lastError: null });
  });

  it('waits while Temporal is away', async () => {
    await deploy('patient', { models: [{ name: 'waiting', event: 'version' }] });
    await register('waiting');
    const starter = openStarter(parseConfig({ TEMPORAL_ADDRESS: '127.0.0.1:1' })); // nobody is there
    const deps = { ...lab.database, starter, log: () => undefined };
    await expect(deliverNext(deps)).rejects.toMatchObject({
      code: 'TEMPORAL_UNAVAILABLE',
    });
    await starter.close();
    expect(await events()).toHaveLength(1);
    expect(await lab.show('patient')).toMatchObject({ lastError: null });
    await deliver();
    expect(await lab.runsOf('patient')).toHaveLength(1);
  });
});

describe('pipelines in a circle', () => {
  /** As if a step of this run had registered a version. */
  const registerIn = (model: string, run: PipelineRun | undefined): Promise<void> =>
    register(model, { actor: `pipeline-run/${run?.id ?? ''}` });

  it('start each other once, and not themselves', async () => {
    await deploy('first', { models: [{ name: 'model-b', event: 'version' }] });
    await deploy('second', { models: [{ name: 'model-a', event: 'version' }] });
    await register('model-b');
    await deliver();
    await registerIn('model-a', (await lab.runsOf('first'))[0]);
    await deliver();
    const [second] = await lab.runsOf('second');
    expect(second?.trigger?.chain).toEqual(['first']);
    await registerIn('model-b', second);
    await deliver();
    expect(await lab.runsOf('first')).toHaveLength(1);
    expect((await lab.show('first')).lastError?.message).toBe(
      'model model-b v2 started no run: it would start itself: first → second → first.',
    );
    await register('model-b'); // by a person
    await deliver();
    expect(await lab.runsOf('first')).toHaveLength(2);
  });

  it('are seen through the tracked run that a version was made in', async () => {
    await deploy('self', { models: [{ name: 'own', event: 'version' }] });
    await register('own');
    await deliver();
    const [run] = await lab.runsOf('self');
    await lab.database.postgres.query(
      `INSERT INTO runs (project_id, id, experiment_id, name, status, started_ms, artifact_uri,
         pipeline_run_id, step_key, attempt)
       VALUES ('default', 'tracked', 0, 'x', 'RUNNING', 1, 'mlflow-artifacts:/0/x', $1, 'a', 1)`,
      [run?.id],
    );
    await register('own', { runId: 'tracked' });
    await deliver();
    expect(await lab.runsOf('self')).toHaveLength(1);
    expect((await lab.show('self')).lastError?.message).toContain('self → self');
  });
});

describe('each event', () => {
  it('starts one run, however many control workers deliver at once', async () => {
    const params = { n: 'event.version' };
    await deploy('busy', { models: [{ name: 'many', event: 'version', params }] });
    for (let i = 0; i < 12; i += 1) await register('many');
    await deliver(4);
    const numbers = (await paramsOf('busy')).map(Number).sort((a, b) => a - b);
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  });

  it('starts one run though the worker is killed when it has started it', async () => {
    await deploy('killed', { models: [{ name: 'fatal', event: 'version' }] });
    await register('fatal');
    const args = ['tests/support/outbox-child.ts', lab.database.url, lab.env.address];
    const child = spawn(process.execPath, ['--require', 'esbuild-register', ...args], {
      ...{ cwd: ROOT, stdio: 'inherit' },
    });
    await once(child, 'exit');
    expect(child.signalCode).toBe('SIGKILL');
    await until(async () => (await lab.runsOf('killed')).length === 1); // its workflow goes on
    expect(await events()).toHaveLength(1);
    await deliver();
    expect(await lab.runsOf('killed')).toHaveLength(1);
    expect(await lab.show('killed')).toMatchObject({ lastError: null });
    expect(await events()).toEqual([]);
  });
});
