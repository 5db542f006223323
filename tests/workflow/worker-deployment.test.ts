import { Client, Connection } from '@temporalio/client';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { openStarter, type Starter } from '../../api/starter';
import { parseConfig } from '../../config/config';
import { freePort } from '../../dev/ports';
import { findTool } from '../../dev/tools';
import { getPipelineRun, startPipelineRun } from '../../pipelines/pipeline-runs';
import { modelAliasesWorkflowId, pipelineRunWorkflowId } from '../../workflows/contract';
import { eventually } from '../support/dev-stack';
import { plan, step } from '../support/plans';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

const projectId = 'default';
const DEPLOYMENT = 'anneal-test';
const children = new Set<ChildProcess>();
let database: TestDatabase;
let address: string;
let starter: Starter;
let client: Client;

beforeAll(async () => {
  database = await createTestDatabase();
  const port = String(await freePort());
  address = `127.0.0.1:${port}`;
  start(findTool('temporal'), [
    'server',
    'start-dev',
    '--headless',
    '--port',
    port,
  ]).stdout?.resume();
  const settings = { TEMPORAL_ADDRESS: address, ANNEAL_WORKER_DEPLOYMENT: DEPLOYMENT };
  starter = openStarter(parseConfig(settings));
  await eventually('Temporal answers', () =>
    starter.ping().then(
      () => true,
      () => false,
    ),
  );
  client = new Client({ connection: await Connection.connect({ address }) });
});
afterAll(async () => {
  await starter.close();
  await client.connection.close();
  for (const child of children) await endChild(child);
  await database.drop();
});

async function endChild(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}
function start(command: string, args: readonly string[], env = {}): ChildProcess {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, DATABASE_URL: database.url, TEMPORAL_ADDRESS: address, ...env },
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** A control worker whose code is this build, or one without a build; resolves when it is ready. */
async function startControl(buildId?: string): Promise<ChildProcess> {
  const args = ['--require', 'esbuild-register', 'workers/control.ts'];
  const version = { ANNEAL_WORKER_DEPLOYMENT: DEPLOYMENT, ANNEAL_BUILD_ID: buildId };
  const child = start(process.execPath, args, buildId === undefined ? {} : version);
  await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line');
  return child;
}

/** As docs/changing-a-workflow.md says; refused until a worker of that build has registered. */
async function makeCurrent(buildId: string): Promise<void> {
  const args = ['worker', 'deployment', 'set-current-version', '--address', address, '--yes'];
  const version = ['--deployment-name', DEPLOYMENT, '--build-id', buildId];
  await eventually(`build ${buildId} is current`, () =>
    promisify(execFile)(findTool('temporal'), [...args, ...version]).then(
      () => true,
      () => false,
    ),
  );
}

/** A run that stands until its only step is skipped: no worker is in its pool. */
async function startWaiting(): Promise<string> {
  const waits = { plan: plan([step('waits', { pool: 'nobody' })]), params: {} };
  const { id } = await startPipelineRun(
    { postgres: database.postgres, starter },
    { projectId, start: waits },
  );
  await eventually('the run has begun', async () => (await statusOf(id)) === 'running');
  return id;
}
async function statusOf(id: string): Promise<string> {
  return (await getPipelineRun(database, { projectId, id })).status;
}
async function finish(id: string): Promise<void> {
  const skip = { action: 'skip', stepKey: 'waits', actor: 'ada', reason: '' } as const;
  await starter.controlPipelineRun(id, skip);
  await eventually('the run has ended', async () => (await statusOf(id)) === 'succeeded');
}

/** Which builds have decided for a workflow, in order, without repetitions. */
async function buildsOf(workflowId: string): Promise<string[]> {
  const { events = [] } = await client.workflow.getHandle(workflowId).fetchHistory();
  const builds = (events ?? []).flatMap(
    (event) => event.workflowTaskCompletedEventAttributes?.deploymentVersion?.buildId ?? [],
  );
  return [...new Set(builds)];
}

/** The model does not exist, and it is the workflow that says so. */
async function changeAlias(): Promise<void> {
  const change = { alias: 'best', version: 1, actor: 'ada', reason: '' };
  const idempotencyKey = crypto.randomUUID();
  const answer = starter.changeAlias(projectId, 'digits', { ...change, idempotencyKey });
  await expect(answer).rejects.toMatchObject({ code: 'NOT_FOUND' });
}

describe('control workers in a worker deployment', () => {
  it('leave a run on the build that it began on, and take what has no end along', async () => {
    await expect(starter.describeCurrentBuild?.()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    const unversioned = await startControl();
    const first = await startWaiting();
    await endChild(unversioned);
    await startControl('a');
    await makeCurrent('a');
    expect(await starter.describeCurrentBuild?.()).toBe(
      `new runs begin on build a of '${DEPLOYMENT}'`,
    );
    const before = await startWaiting();
    await changeAlias();
    const aliases = modelAliasesWorkflowId(projectId, 'digits');
    expect(await buildsOf(aliases)).toEqual(['a']);

    await startControl('b');
    await makeCurrent('b');
    const after = await startWaiting();
    await finish(first);
    await finish(before);
    await finish(after);
    // began without a build, so it moves
    expect((await buildsOf(pipelineRunWorkflowId(first))).at(-1)).toBe('b');
    expect(await buildsOf(pipelineRunWorkflowId(before))).toEqual(['a']);
    expect(await buildsOf(pipelineRunWorkflowId(after))).toEqual(['b']);
    await changeAlias();
    expect(await buildsOf(aliases)).toEqual(['a', 'b']);
  });
});
