import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { createApp } from '../../api/app';
import { USER_PERMISSIONS } from '../../api/auth/permissions';
import { registerMlflowRegisteredModels } from '../../api/routes/mlflow/registered-models';
import { registerModels } from '../../api/routes/v1/models';
import { registerPipelineRuns } from '../../api/routes/v1/pipeline-runs';
import { openStarter, type Starter } from '../../api/starter';
import { parseConfig } from '../../config/config';
import { freePort } from '../../dev/ports';
import { findTool } from '../../dev/tools';
import type { PipelineRun } from '../../schemas/pipeline-runs';
import { callHttp, type HttpReply } from '../support/http';
import { plan, step } from '../support/plans';
import { createTestDatabase, type TestDatabase } from '../support/postgres';
import { openWrittenPipelines } from '../support/written-pipelines';

jest.setTimeout(120_000);
let folder: string;
let port: number;
let temporal: ChildProcess;
let db: TestDatabase;
let starter: Starter;
let app: FastifyInstance;
let url: string;

/** Starts Temporal where it was before; what it knew is in its file. */
async function startTemporal(): Promise<void> {
  const file = join(folder, 'temporal.db');
  const args = ['server', 'start-dev', '--headless', '--port', String(port), '--db-filename', file];
  temporal = spawn(findTool('temporal'), args, { stdio: 'ignore' });
  for (let tries = 0; tries < 100; tries += 1) {
    const isUp = await starter.ping().then(
      () => true,
      () => false,
    );
    if (isUp) return;
  }
  throw new Error('Temporal did not start');
}
async function killTemporal(): Promise<void> {
  const ended = once(temporal, 'exit');
  temporal.kill('SIGKILL');
  await ended;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-bad-input-'));
  port = await freePort();
  db = await createTestDatabase();
  starter = openStarter(parseConfig({ TEMPORAL_ADDRESS: `127.0.0.1:${port}` }));
  await startTemporal();
  const caller = { kind: 'local', name: 'ada', projectId: 'default' } as const;
  const deps = {
    postgres: db.postgres,
    starter,
    readPipeline: openWrittenPipelines(db.postgres).readPipeline,
    changeAlias: starter.changeAlias,
  };
  app = await createApp({
    authenticate: () => Promise.resolve({ ...caller, permissions: USER_PERMISSIONS }),
    routes: (routes) => {
      registerPipelineRuns(routes, deps);
      registerModels(routes, deps);
      registerMlflowRegisteredModels(routes, deps);
    },
  });
  url = await app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(async () => {
  await app.close();
  await starter.close();
  await killTemporal();
  await db.drop();
  rmSync(folder, { recursive: true, force: true });
});

function send(method: string, path: string, body: unknown): Promise<HttpReply> {
  const headers = { 'content-type': 'application/json' };
  return callHttp(url + path, { method, headers, body: JSON.stringify(body) });
}
const start = (body: unknown): Promise<HttpReply> => send('POST', '/api/v1/pipeline-runs', body);

/** Everything that a start may write, as it stands. */
async function stored(): Promise<unknown> {
  const tables = [
    'plans',
    'pipeline_runs',
    'steps',
    'transitions',
    'registered_models',
    'model_aliases',
  ];
  const counts = tables.map((name) => `(SELECT count(*) FROM ${name}) AS ${name}`);
  return db.postgres.query(`SELECT ${counts.join(', ')}`);
}

interface Invalid {
  readonly code: string;
  readonly detail: string;
  readonly advice: string;
  readonly errors: readonly { readonly path: string; readonly message: string }[];
}
const needsB = step('a', { inputs: { x: 'steps.b.outputs.x' } });
const needsA = step('b', { inputs: { x: 'steps.a.outputs.x' } });
const OUTPUT = { outputs: { x: { value: true as const } } };
const ASKS = { lr: { type: 'number' as const } };

describe('a start that cannot be', () => {
  it.each([
    [
      'a cycle',
      { plan: plan([step('a', { after: ['b'] }), step('b', { after: ['a'] })]) },
      ['steps', 'need each other in a circle: a → b → a; cut it once.'],
    ],
    [
      'a cycle of inputs',
      {
        plan: plan([
          { ...needsB, ...OUTPUT },
          { ...needsA, ...OUTPUT },
        ]),
      },
      ['steps', 'need each other in a circle: a → b → a; cut it once.'],
    ],
    [
      'an input of a step that is not there',
      { plan: plan([{ ...needsB, needs: [] }]) },
      ['steps.a.inputs.x', "there is no 'steps.b'"],
    ],
    [
      'an input of an output that is not there',
      { plan: plan([needsB, step('b', { outputs: { y: { value: true } } })]) },
      ['steps.a.inputs.x', "has no output 'x'"],
    ],
    ['no step', { plan: plan([]) }, ['steps', 'hold no step: write at least one.']],
    [
      'a name given twice',
      { plan: plan([step('a'), step('a')]) },
      ['steps.a', 'is there twice: give each step a name of its own.'],
    ],
    [
      'a script that no project can hold',
      { plan: plan([step('a', { uses: '../x.ts#run' })]) },
      ['steps.a.uses', "must be 'file#export' inside the project"],
    ],
    [
      'a parameter that is missing',
      { plan: plan([step('a')], ASKS) },
      ['params.lr', 'has no default and must be given.'],
    ],
    [
      'a parameter of another type',
      { plan: plan([step('a')], ASKS), params: { lr: 'fast'.repeat(1000) } },
      ['params.lr', 'must be a number, not "fastfast'],
    ],
    [
      'parameters that are too large',
      { plan: plan([step('a')], ASKS), params: { lr: 'x'.repeat(65 * 1024) } },
      ['params', 'are larger than 64 KiB; pass a file instead.'],
    ],
    ['a NUL', { plan: plan([step('a', { argv: ['a\0b'] })]) }, ['', 'holds a NUL']],
    [
      'half a character',
      { plan: plan([step('a', { argv: ['\ud800'] })]) },
      ['', 'half a character'],
    ],
  ] as const)(
    'says what is wrong with %s and writes nothing',
    async (_what, body, [path, says]) => {
      const before = await stored();
      const reply = await start(body);
      const answer = reply.json<Invalid>();
      expect([reply.status, answer]).toEqual([400, expect.objectContaining({ status: 400 })]);
      expect(answer.detail).toContain(says);
      expect(answer.advice).toMatch(/^Correct /);
      if (path !== '') {
        expect(answer.errors).toContainEqual({
          path,
          message: expect.stringContaining(says) as string,
        });
      }
      expect(await stored()).toEqual(before);
    },
  );
});

/** Of a change of an alias nobody can know yet whether it will come to pass. */
const DETAIL =
  /^(Temporal did not answer within (5|30) s\.|Nobody took the change .* may still be made once .*)$/;

describe.each([
  ['hangs', () => temporal.kill('SIGSTOP'), () => Promise.resolve(temporal.kill('SIGCONT'))],
  ['is gone', killTemporal, startTemporal],
] as const)('while Temporal %s', (how, stop, goOn) => {
  it('refuses what needs it, writes nothing, serves the rest, and goes on by itself', async () => {
    const model = `model that ${how}`;
    await send('POST', '/api/2.0/mlflow/registered-models/create', { name: model });
    const running = (await start({ plan: plan([step('a')]) })).json<PipelineRun>();
    const before = await stored();
    const body = { plan: plan([step(`unheard-${how.replace(' ', '-')}`)]), runKey: how };
    await stop();
    try {
      const refused = await Promise.all([
        start(body),
        start(body),
        send('POST', `/api/v1/pipeline-runs/${running.id}/cancel`, {}),
        send('PUT', `/api/v1/models/${encodeURIComponent(model)}/aliases/champion`, { version: 1 }),
      ]);
      for (const reply of refused) {
        expect([reply.status, reply.headers['retry-after'], reply.json()]).toEqual([
          ...[503, '2'],
          expect.objectContaining({
            code: 'TEMPORAL_UNAVAILABLE',
            detail: expect.stringMatching(DETAIL) as string,
            advice: 'Start Temporal or check TEMPORAL_ADDRESS, then send it again.',
          }),
        ]);
      }
      expect(await stored()).toEqual(before);
      expect((await callHttp(`${url}/api/v1/pipeline-runs/${running.id}`)).status).toBe(200);
    } finally {
      await goOn();
    }
    const taken = await start(body);
    expect(taken.status).toBe(201);
    const again = await start(body); // and the refused ones have not become a second run
    expect(again.json<PipelineRun>().id).toBe(taken.json<PipelineRun>().id);
    const cancel = await send('POST', `/api/v1/pipeline-runs/${running.id}/cancel`, {});
    expect(cancel.status).toBe(200);
  });
});
