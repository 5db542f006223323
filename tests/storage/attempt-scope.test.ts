import type { FastifyInstance } from 'fastify';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp } from '../../api/app';
import { createAuthenticate } from '../../api/auth/authenticate';
import { createToken } from '../../api/auth/tokens';
import { openParts, type Parts } from '../../api/parts';
import { registerRoutes } from '../../api/routes';
import { parseConfig } from '../../config/config';
import { beginAttempt } from '../../pipelines/attempts';
import { beginPipelineRun } from '../../pipelines/pipeline-runs';
import { callHttp, type HttpReply } from '../support/http';
import { plan, step } from '../support/plans';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

interface Target {
  readonly experiment: string;
  readonly run: string;
}
type Write = (to: Target) => object | string;
const projectId = 'default';
const CREATE = '/api/2.0/mlflow/runs/create';
/** Every route that changes a run: a body, or the path below the prefix of artifacts. */
const RUN_WRITES: Readonly<Record<string, Write>> = {
  'POST runs/update': ({ run }) => ({ run_id: run, status: 'KILLED', run_name: 'mine' }),
  'POST runs/set-tag': ({ run }) => ({ run_id: run, key: 't', value: 'x' }),
  'POST runs/delete-tag': ({ run }) => ({ run_uuid: run, key: 'kept' }),
  'POST runs/log-parameter': ({ run }) => ({ run_id: run, key: 'p', value: '2' }),
  'POST runs/log-metric': ({ run }) => ({ run_id: run, key: 'm', value: 2, timestamp: 2 }),
  'POST runs/log-batch': ({ run }) => ({
    run_id: run,
    metrics: [{ key: 'm', value: 3, timestamp: 3 }],
    params: [{ key: 'q', value: '3' }],
    tags: [{ key: 'mlflow.runName', value: 'mine' }],
  }),
  'PUT artifacts/*': ({ experiment, run }) => `${experiment}/${run}/artifacts/kept.txt`,
  'DELETE artifacts/*': ({ experiment, run }) => `${experiment}/${run}/artifacts/kept.txt`,
  'POST runs/delete': ({ run }) => ({ run_id: run }),
  'POST runs/restore': ({ run }) => ({ run_id: run }),
};
const EXPERIMENT_WRITES: Readonly<Record<string, Write>> = {
  'POST experiments/update': (to) => ({ experiment_id: to.experiment, new_name: 'mine' }),
  'POST experiments/set-experiment-tag': (to) => ({
    ...{ experiment_id: to.experiment, key: 't', value: 'x' },
  }),
  'POST experiments/delete-experiment-tag': (to) => ({ experiment_id: to.experiment, key: 'kept' }),
  'POST experiments/delete': (to) => ({ experiment_id: to.experiment }),
  'POST experiments/restore': (to) => ({ experiment_id: to.experiment }),
};
/** What makes something new, holds bytes under their own digest, or does nothing in this version. */
const HARMLESS = [
  'POST runs/create',
  'POST experiments/create',
  'POST /api/v1/artifacts',
  'POST /api/v1/objects/plan',
  'POST artifacts/presigned-upload-url',
  'POST mpu/create/*',
  'POST mpu/complete/*',
  'POST mpu/abort/*',
];
const WRITES = ['runs:write', 'experiments:write', 'experiments:manage', 'artifacts:write'];

let db: TestDatabase;
let dataDir: string;
let parts: Parts;
let app: FastifyInstance;
let base: string;
const routes: { readonly name: string; readonly url: string }[] = [];
/** The attempts of two steps of one pipeline run, and that of another. */
let train: string;
let evaluate: string;
let stranger: string;

beforeAll(async () => {
  db = await createTestDatabase();
  dataDir = mkdtempSync(join(tmpdir(), 'anneal-scope-'));
  const config = parseConfig({
    DATABASE_URL: db.url,
    ANNEAL_DATA_DIR: dataDir,
    ANNEAL_SIGNING_KEY: 's'.repeat(32),
    ANNEAL_AUTH: 'open',
    TEMPORAL_ADDRESS: '127.0.0.1:1', // nobody listens there
  });
  parts = await openParts(config);
  app = await createApp({
    authenticate: createAuthenticate({ postgres: parts.postgres, config }),
    routes: (mounted) => {
      mounted.addHook('onRoute', ({ method, url, config: { permission } = {} }) => {
        if (!WRITES.includes(String(permission))) return;
        for (const one of [method].flat()) routes.push({ name: `${one} ${short(url)}`, url });
      });
      registerRoutes(mounted, parts);
    },
  });
  base = await app.listen({ host: '127.0.0.1', port: 0 });
  const steps = plan([step('train'), step('evaluate')]);
  for (const runId of ['own', 'other']) {
    await beginPipelineRun(parts, { projectId, runId, plan: steps });
  }
  const begin = async (runId: string, stepKey: string): Promise<string> => {
    const input = { projectId, runId, stepKey, attempt: 1, node: 'n1' };
    return (await beginAttempt({ ...parts, createToken }, input)).token;
  };
  train = await begin('own', 'train');
  evaluate = await begin('own', 'evaluate');
  stranger = await begin('other', 'train');
});
afterAll(async () => {
  await app.close();
  await parts.close();
  rmSync(dataDir, { recursive: true, force: true });
  await db.drop();
});

const short = (url: string): string =>
  url.replace(/^\/(ajax-)?api\/[23]\.0\/mlflow(-artifacts)?\//, '');

/** Sends one write; the local user's without a token. */
function send(route: string, given: object | string, token?: string): Promise<HttpReply> {
  const [method = '', url = ''] = route.split(' ');
  const bearer = token === undefined ? {} : { authorization: `Bearer ${token}` };
  if (typeof given === 'string') {
    const body = method === 'PUT' ? { body: 'bytes' } : {};
    return callHttp(base + url.replace('*', given), { method, headers: bearer, ...body });
  }
  const headers = { 'content-type': 'application/json', ...bearer };
  return callHttp(base + url, { method, headers, body: JSON.stringify(given) });
}

async function ok<T>(reply: Promise<HttpReply>): Promise<T> {
  const { status, text, json } = await reply;
  if (status !== 200) throw new Error(`${status} ${text}`);
  return json<T>();
}

let experiments = 0;
/** A run with something of each kind in it, in an experiment with a tag. */
async function newTarget(token?: string): Promise<Target> {
  experiments += 1;
  const named = {
    name: `experiment ${experiments}`,
    tags: [{ key: 'kept', value: 'x' }],
  };
  const made = send('POST /api/2.0/mlflow/experiments/create', named, token);
  const { experiment_id: experiment } = await ok<{ experiment_id: string }>(made);
  const body = { experiment_id: experiment, start_time: 1, tags: [{ key: 'kept', value: 'x' }] };
  const created = await ok<{ run: { info: { run_id: string } } }>(
    send(`POST ${CREATE}`, body, token),
  );
  const run = created.run.info.run_id;
  const batch = {
    run_id: run,
    metrics: [{ key: 'm', value: 1, timestamp: 1 }],
    params: [{ key: 'p', value: '1' }],
  };
  await ok(send('POST /api/2.0/mlflow/runs/log-batch', batch, token));
  await ok(
    send(
      'PUT /api/2.0/mlflow-artifacts/artifacts/*',
      `${experiment}/${run}/artifacts/kept.txt`,
      token,
    ),
  );
  return { experiment, run };
}

const TABLES = [
  ...['runs', 'run_tags', 'run_params', 'run_metrics_latest', 'experiments', 'experiment_tags'],
  ...['artifact_files', 'objects'],
];
/** Everything that was written so far, points of metrics included. */
async function everything({ run }: Target): Promise<unknown> {
  await parts.metrics.settle();
  const rows = TABLES.map((table) =>
    db.postgres.query(`SELECT to_jsonb(t) AS row FROM ${table} t ORDER BY to_jsonb(t)::text`),
  );
  const asked = { projectId, runId: run, key: 'm', maxResults: 100, pageToken: undefined };
  return [await Promise.all(rows), await parts.metrics.history(asked)];
}

const named = (writes: Readonly<Record<string, Write>>): string[] =>
  routes
    .filter(({ name }) => name in writes)
    .map(({ name, url }) => `${name.split(' ')[0] ?? ''} ${url}`);
const bodyOf = (route: string, to: Target): object | string => {
  const [method = '', url = ''] = route.split(' ');
  const name = `${method} ${short(url)}`;
  const write = RUN_WRITES[name] ?? EXPERIMENT_WRITES[name];
  if (write === undefined) throw new Error(`no body for ${name}`);
  return write(to);
};

describe("an attempt's token", () => {
  it('is tried on every route that writes', () => {
    const known = [...Object.keys(RUN_WRITES), ...Object.keys(EXPERIMENT_WRITES), ...HARMLESS];
    expect([...new Set(routes.map(({ name }) => name))].sort()).toEqual(known.sort());
    expect(named(RUN_WRITES).length).toBe(2 * Object.keys(RUN_WRITES).length); // /api and /ajax-api
  });

  it.each(['of a person', 'of another pipeline run'])(
    'writes nothing to a run %s',
    async (whose) => {
      const target = await newTarget(whose === 'of a person' ? undefined : stranger);
      const before = await everything(target);
      for (const route of named(RUN_WRITES)) {
        const reply = await send(route, bodyOf(route, target), train);
        const { error_code: code, message } = reply.json<{ error_code: string; message: string }>();
        expect([route, reply.status, code]).toEqual([route, 403, 'PERMISSION_DENIED']);
        expect(message).toContain(`The run ${target.run} is not of the pipeline run own`);
        expect(message).toContain('Log to a run that a step of it has made');
      }
      expect(await everything(target)).toEqual(before);
    },
  );

  it('writes to its own runs and to those of other steps of its pipeline run', async () => {
    for (const maker of [train, evaluate]) {
      const target = await newTarget(maker);
      for (const route of named(RUN_WRITES).filter((name) => name.includes(' /api/'))) {
        // the value that stands there already is no change
        const given = route.endsWith('log-parameter')
          ? { run_id: target.run, key: 'p', value: '1' }
          : bodyOf(route, target);
        const reply = await send(route, given, train);
        if (reply.status !== 200) throw new Error(`${route}: ${reply.status} ${reply.text}`);
      }
    }
  });

  it('makes experiments, and runs in those of others with any parent', async () => {
    const target = await newTarget();
    const tags = [{ key: 'mlflow.parentRunId', value: target.run }];
    const body = { experiment_id: target.experiment, start_time: 1, tags };
    const reply = await ok<{ run: { info: { run_id: string } } }>(
      send(`POST ${CREATE}`, body, train),
    );
    const tag = { run_id: reply.run.info.run_id, key: 't', value: 'x' };
    await ok(send('POST /api/2.0/mlflow/runs/set-tag', tag, evaluate));
  });

  it('neither renames nor tags nor deletes nor restores an experiment, not even its own', async () => {
    for (const maker of [undefined, train]) {
      const target = await newTarget(maker);
      const before = await everything(target);
      for (const route of named(EXPERIMENT_WRITES)) {
        const reply = await send(route, bodyOf(route, target), train);
        const { error_code: code, message } = reply.json<{ error_code: string; message: string }>();
        expect([route, reply.status, code]).toEqual([route, 403, 'PERMISSION_DENIED']);
        expect(message).toContain("lacks the permission 'experiments:manage'");
      }
      expect(await everything(target)).toEqual(before);
      const tag = { experiment_id: target.experiment, key: 't', value: 'x' };
      await ok(send('POST /api/2.0/mlflow/experiments/set-experiment-tag', tag)); // a person may
    }
  });

  it('writes no model files beside the runs of an experiment', async () => {
    const target = await newTarget();
    const path = `${target.experiment}/models/m-1/artifacts/kept.txt`;
    await ok(send('PUT /api/2.0/mlflow-artifacts/artifacts/*', path));
    const before = await everything(target);
    for (const prefix of ['/api', '/ajax-api']) {
      for (const method of ['PUT', 'DELETE']) {
        const route = `${method} ${prefix}/2.0/mlflow-artifacts/artifacts/*`;
        const reply = await send(route, path, train);
        expect([reply.status, reply.text]).toEqual([403, expect.stringContaining('Log the files')]);
      }
    }
    expect(await everything(target)).toEqual(before);
  });

  it('reads what others have made', async () => {
    const { experiment, run } = await newTarget(stranger);
    const headers = { authorization: `Bearer ${train}` };
    const got = await callHttp(`${base}/api/2.0/mlflow/runs/get?run_id=${run}`, { headers });
    expect(got.status).toBe(200);
    const url = `${base}/api/2.0/mlflow-artifacts/artifacts/${experiment}/${run}/artifacts/kept.txt`;
    expect((await callHttp(url, { headers })).text).toBe('bytes');
  });
});
