import { WithStartWorkflowOperation, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure, type Workflow } from '@temporalio/common';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import { createChangeAlias } from '../../activities/change-alias';
import { findTool } from '../../dev/tools';
import { listAliasHistory } from '../../registry/model-aliases';
import { createModelVersion } from '../../registry/model-versions';
import { createRegisteredModel } from '../../registry/registered-models';
import {
  CHANGE_ALIAS_UPDATE,
  MODEL_ALIASES,
  modelAliasesWorkflowId,
  type ChangeAlias,
  type ChangedAlias,
  type ModelAliasesInput,
} from '../../workflows/contract';
import { createTestDatabase, type TestDatabase } from '../support/postgres';
import { putArtifact } from '../support/registry';

const projectId = 'default';
const taskQueue = 'model-aliases-test';
const CALLERS = 16;
/** A tenth of the server's default, so that the entity passes into its next runs soon. */
const UPDATES_MAX = 100;
/** In flight at once; the server takes ten of one workflow and makes the others wait. */
const AT_ONCE = 8;

let db: TestDatabase;
let env: TestWorkflowEnvironment;
let worker: Worker;
let working: Promise<void>;

beforeAll(async () => {
  db = await createTestDatabase();
  env = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: findTool('temporal') },
      extraArgs: ['--dynamic-config-value', `history.maxTotalUpdates=${UPDATES_MAX}`],
    },
  });
  worker = await Worker.create({
    connection: env.nativeConnection,
    taskQueue,
    workflowsPath: require.resolve('../../workflows/model-aliases'),
    activities: { changeAlias: createChangeAlias(db) },
  });
  working = worker.run();
});
afterAll(async () => {
  worker.shutdown();
  await working;
  await env.teardown();
  await db.drop();
});

let keys = 0;
function changeOf(wanted: Partial<ChangeAlias>): ChangeAlias {
  keys += 1;
  const key = `key ${keys}`;
  return {
    alias: 'champion',
    version: 1,
    actor: 'ada',
    reason: '',
    idempotencyKey: key,
    ...wanted,
  };
}

function send(model: string, change: unknown): Promise<ChangedAlias> {
  const input: ModelAliasesInput = { projectId, model };
  const startWorkflowOperation = new WithStartWorkflowOperation(MODEL_ALIASES, {
    workflowId: modelAliasesWorkflowId(projectId, model),
    args: [input],
    taskQueue,
    workflowIdConflictPolicy: 'USE_EXISTING',
  });
  return env.client.workflow.executeUpdateWithStart<Workflow, ChangedAlias, [unknown]>(
    CHANGE_ALIAS_UPDATE,
    { startWorkflowOperation, args: [change] },
  );
}

/** The type of the failure that an update ended with. */
async function failureType(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(() => 'it worked', (thrown: unknown) => thrown); // prettier-ignore
  if (!(error instanceof WorkflowUpdateFailedError)) return String(error);
  return error.cause instanceof ApplicationFailure ? String(error.cause.type) : 'another cause';
}

/** As a client does: a run that makes way for the next one asks to send the change again. */
async function sendUntilTaken(model: string, change: ChangeAlias): Promise<ChangedAlias> {
  for (;;) {
    const sent = send(model, change);
    if ((await failureType(sent)) !== 'RATE_LIMITED') return sent;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function modelWith(name: string, versions: number): Promise<string> {
  await createRegisteredModel(db, { projectId, name, actor: 'ada' });
  const source = `anneal:/artifacts/${await putArtifact(db.postgres, 'aa')}`;
  for (let i = 1; i <= versions; i += 1) {
    await createModelVersion(db, { projectId, model: name, source, actor: 'ada' });
  }
  return name;
}

async function eventTypes(model: string): Promise<string[]> {
  const handle = env.client.workflow.getHandle(modelAliasesWorkflowId(projectId, model));
  const { events = [] } = await handle.fetchHistory();
  return (events ?? []).map(
    (event) => Object.keys(event).find((key) => key.endsWith('EventAttributes')) ?? '',
  );
}

describe('the alias entity', () => {
  it('lets sixteen changes at once happen one after the other', async () => {
    const model = await modelWith('serial', CALLERS);
    const changes = Array.from({ length: CALLERS }, (_, i) => changeOf({ version: i + 1 }));
    const answers = await Promise.all(changes.map((change) => send(model, change)));
    const chain = [...answers].sort((a, b) => a.revision - b.revision);
    expect(chain.map((answer) => answer.revision)).toEqual(chain.map((_, i) => i + 1));
    expect(chain.map((answer) => answer.previousVersion)).toEqual([
      null,
      ...chain.slice(0, -1).map((answer) => answer.version),
    ]);
    // each caller got the answer to its own question
    expect(answers.map((answer) => answer.version)).toEqual(changes.map((c) => c.version));
    const history = await listAliasHistory(db, { projectId, model });
    expect(history.map((row) => row.newVersion).reverse()).toEqual(chain.map((a) => a.version));
  });

  it('lets one of sixteen win that expect the same version', async () => {
    const model = await modelWith('contest', CALLERS + 1);
    await send(model, changeOf({ version: CALLERS + 1 }));
    const types = await Promise.all(
      Array.from({ length: CALLERS }, (_, i) =>
        failureType(send(model, changeOf({ version: i + 1, expectedVersion: CALLERS + 1 }))),
      ),
    );
    expect(types.filter((type) => type === 'it worked')).toHaveLength(1);
    expect(types.filter((type) => type === 'CONFLICT')).toHaveLength(CALLERS - 1);
    // the refused ones held nobody up
    expect(await send(model, changeOf({ version: 1 }))).toMatchObject({ version: 1 });
  });

  it('changes once for a repeated key', async () => {
    const model = await modelWith('repeat', 2);
    const change = changeOf({ version: 2, idempotencyKey: 'once' });
    const answers = await Promise.all(Array.from({ length: 6 }, () => send(model, change)));
    const first = { alias: 'champion', version: 2, previousVersion: null, revision: 1 };
    expect(answers).toEqual(Array(6).fill(first));
    await send(model, changeOf({ version: 1 }));
    expect(await send(model, change)).toEqual(first);
    expect(await failureType(send(model, { ...change, version: 1 }))).toBe('CONFLICT');
    expect(await listAliasHistory(db, { projectId, model })).toHaveLength(2);
  });

  it('refuses a malformed change without a trace', async () => {
    const model = await modelWith('malformed', 1);
    await send(model, changeOf({}));
    const before = await eventTypes(model);
    const malformed = [
      changeOf({ alias: 'latest' }),
      changeOf({ alias: 'v12' }),
      changeOf({ alias: 'a b' }),
      changeOf({ version: 0 }),
      changeOf({ version: 1.5 }),
      changeOf({ expectedVersion: -1 }),
      changeOf({ idempotencyKey: '' }),
      changeOf({ actor: '' }),
      { alias: 'champion' },
      {},
    ];
    for (const change of malformed) {
      expect(await failureType(send(model, change))).toBe('INVALID_ARGUMENT');
    }
    expect(await eventTypes(model)).toEqual(before);
    expect(await listAliasHistory(db, { projectId, model })).toHaveLength(1);
  });

  it('says NOT_FOUND for a version that is not there, and goes on', async () => {
    const model = await modelWith('missing', 1);
    expect(await failureType(send(model, changeOf({ version: 7 })))).toBe('NOT_FOUND');
    expect(await send(model, changeOf({ version: 1 }))).toMatchObject({ revision: 1 });
    expect(await send(model, changeOf({ version: null }))).toMatchObject({ previousVersion: 1 });
  });

  it('goes on in new runs with the answers it gave, and loses no change between them', async () => {
    const model = await modelWith('long', 2);
    const first = changeOf({ version: 1 });
    const answer = await send(model, first);
    const handle = env.client.workflow.getHandle(modelAliasesWorkflowId(projectId, model));
    const { runId: firstRun } = await handle.describe();
    const total = UPDATES_MAX + AT_ONCE;
    let sent = 1;
    const sender = async (): Promise<void> => {
      while (sent < total) {
        sent += 1;
        await sendUntilTaken(model, changeOf({ version: (sent % 2) + 1 }));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, sender));
    expect((await handle.describe()).runId).not.toBe(firstRun);
    expect(await send(model, first)).toEqual(answer);
    const { revision } = await send(model, changeOf({ version: 2 }));
    expect(revision).toBe(total + 1);
  });
});
