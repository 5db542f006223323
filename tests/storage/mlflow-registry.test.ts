import type { FastifyInstance } from 'fastify';
import { createApp } from '../../api/app';
import { registerMlflowModelVersions } from '../../api/routes/mlflow/model-versions';
import { registerMlflowRegisteredModels } from '../../api/routes/mlflow/registered-models';
import { registerModels } from '../../api/routes/v1/models';
import { USER_PERMISSIONS } from '../../api/auth/permissions';
import { AppError } from '../../errors/app-error';
import { changeAlias } from '../../registry/model-aliases';
import { selectArtifactFiles } from '../../storage/postgres/artifact-files';
import { insertArtifact } from '../../storage/postgres/artifacts';
import { insertObjects } from '../../storage/postgres/objects';
import { callHttp, type HttpReply } from '../support/http';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

const projectId = 'default';
let db: TestDatabase;
let app: FastifyInstance;
let base: string;
const submitted: string[] = [];

beforeAll(async () => {
  db = await createTestDatabase();
  const deps = {
    postgres: db.postgres,
    changeAlias: (project: string, model: string, change: Parameters<typeof changeAlias>[1]['change']) => {
      submitted.push(model);
      return changeAlias(db, { projectId: project, model, change });
    },
    runArtifactUri: ({ runId }: { readonly runId: string }) => {
      if (runId !== 'run1') throw new AppError('NOT_FOUND', `No run '${runId}' was found.`);
      return Promise.resolve('mlflow-artifacts:/0/run1/artifacts');
    },
  }; // prettier-ignore
  app = await createApp({
    authenticate: () =>
      Promise.resolve({ kind: 'local', name: 'ada', projectId, permissions: USER_PERMISSIONS }),
    routes: (routes) => {
      registerMlflowRegisteredModels(routes, deps);
      registerMlflowModelVersions(routes, deps);
      registerModels(routes, deps);
    },
  });
  base = await app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(async () => {
  await app.close();
  await db.drop();
});

function send(method: string, path: string, body?: unknown): Promise<HttpReply> {
  const headers = { 'content-type': 'application/json' };
  if (body === undefined) return callHttp(base + path, { method });
  return callHttp(base + path, { method, headers, body: JSON.stringify(body) });
}
const mlflow = (method: string, path: string, body?: unknown): Promise<HttpReply> =>
  send(method, `/api/2.0/mlflow/${path}`, body);
const query = (values: Record<string, string>): string => new URLSearchParams(values).toString();

interface Model {
  readonly name: string;
  readonly latest_versions?: { readonly version: string }[];
  readonly aliases?: { readonly alias: string; readonly version: string }[];
}
let models = 0;
/** A new model with so many versions, made over the wire. */
async function modelWith(versions: number): Promise<string> {
  models += 1;
  const name = `wire ${models}`;
  await mlflow('POST', 'registered-models/create', { name });
  for (let i = 1; i <= versions; i += 1) {
    const body = { name, source: `mlflow-artifacts:/0/run1/artifacts/m${i}`, run_id: 'run1' };
    expect((await mlflow('POST', 'model-versions/create', body)).status).toBe(200);
  }
  return name;
}

describe('MLflow registered-models', () => {
  it('creates, gets and describes; a taken name is RESOURCE_ALREADY_EXISTS with 400', async () => {
    const tags = [{ key: 'k', value: 'v' }];
    const made = await mlflow('POST', 'registered-models/create', { name: 'a', description: 'd', tags }); // prettier-ignore
    const expected = { name: 'a', description: 'd', tags };
    const { registered_model: model } = made.json<{ registered_model: Record<string, unknown> }>();
    expect(model).toMatchObject(expected);
    expect(model).not.toHaveProperty('latest_versions'); // empty lists are left out
    expect(Number.isInteger(model['creation_timestamp'])).toBe(true);
    const again = await mlflow('POST', 'registered-models/create', { name: 'a' });
    expect(again.status).toBe(400);
    expect(again.json()).toMatchObject({ error_code: 'RESOURCE_ALREADY_EXISTS' });
    const changed = await mlflow('PATCH', 'registered-models/update', {
      name: 'a',
      description: 'e',
    });
    expect(changed.json()).toMatchObject({ registered_model: { description: 'e' } });
    await mlflow('POST', 'registered-models/set-tag', { name: 'a', key: 'l', value: 'w' });
    await mlflow('DELETE', 'registered-models/delete-tag', { name: 'a', key: 'k' });
    const got = await mlflow('GET', `registered-models/get?${query({ name: 'a' })}`);
    expect(got.json()).toMatchObject({ registered_model: { tags: [{ key: 'l', value: 'w' }] } });
  });

  it.each([
    ['GET', 'registered-models/get?name=none', undefined, 404, 'RESOURCE_DOES_NOT_EXIST'],
    ['GET', 'registered-models/get', undefined, 400, 'INVALID_PARAMETER_VALUE'],
    ['GET', 'registered-models/get?name=a%00b', undefined, 400, 'INVALID_PARAMETER_VALUE'],
    ['POST', 'registered-models/create', { name: 'x/y' }, 400, 'INVALID_PARAMETER_VALUE'],
    ['POST', 'model-versions/create', { name: 'none', source: 'runs:/r/m' }, 404, 'RESOURCE_DOES_NOT_EXIST'],
    ['POST', 'model-versions/create', { name: 'a', source: '/etc/passwd' }, 400, 'INVALID_PARAMETER_VALUE'],
    ['GET', 'model-versions/get?name=a&version=99', undefined, 404, 'RESOURCE_DOES_NOT_EXIST'],
    ['GET', 'model-versions/get?name=a&version=99999999999', undefined, 404, 'RESOURCE_DOES_NOT_EXIST'],
    ['GET', 'model-versions/get?name=a&version=x', undefined, 400, 'INVALID_PARAMETER_VALUE'],
    ['GET', 'registered-models/search?max_results=1001', undefined, 400, 'INVALID_PARAMETER_VALUE'],
    ['GET', 'registered-models/search?filter=name+LIKE+%27a%25%27', undefined, 501, 'NOT_IMPLEMENTED'],
    ['GET', 'registered-models/search?page_token=!', undefined, 400, 'INVALID_PARAMETER_VALUE'],
    ['GET', 'model-versions/search?page_token=IjEi', undefined, 400, 'INVALID_PARAMETER_VALUE'],
    ['POST', 'registered-models/alias', { name: 'none', alias: 'c', version: '1' }, 404, 'RESOURCE_DOES_NOT_EXIST'],
  ])('%s %s %j answers %i %s', async (method, path, body, status, code) => {
    const reply = await mlflow(method, path, body);
    expect(reply.status).toBe(status);
    expect(reply.json()).toMatchObject({ error_code: code });
  }); // prettier-ignore

  it("searches in pages, with the filter that Python's client always sends", async () => {
    const names = await Promise.all([modelWith(1), modelWith(0), modelWith(2)]);
    const prompt = await modelWith(0);
    const tag = { name: prompt, key: 'mlflow.prompt.is_prompt', value: 'true' };
    await mlflow('POST', 'registered-models/set-tag', tag);
    const found: Model[] = [];
    let page_token = '';
    do {
      const filter = "tag.`mlflow.prompt.is_prompt` != 'true'";
      const wanted = query({ filter, max_results: '2', page_token });
      const reply = await mlflow('GET', `registered-models/search?${wanted}`);
      const page = reply.json<{ registered_models?: Model[]; next_page_token?: string }>();
      found.push(...(page.registered_models ?? []));
      page_token = page.next_page_token ?? '';
    } while (page_token !== '');
    const all = found.map((model) => model.name);
    expect(all).toEqual([...new Set(all)].sort());
    expect(all).toEqual(expect.arrayContaining(names));
    expect(all).not.toContain(prompt);
    const newest = names.map((n) => found.find((m) => m.name === n)?.latest_versions?.[0]?.version);
    expect(newest).toEqual(['1', undefined, '2']);
    const one = await mlflow(
      'GET',
      `registered-models/search?${query({ filter: `name='${prompt}'` })}`,
    );
    expect(one.json<{ registered_models: Model[] }>().registered_models).toHaveLength(1);
  });

  it('sets, moves, resolves and removes aliases', async () => {
    const name = await modelWith(2);
    const alias = 'champion';
    // R's client sends numbers as texts
    for (const version of ['1', 2]) {
      const set = await mlflow('POST', 'registered-models/alias', { name, alias, version });
      expect([set.status, set.text]).toEqual([200, '{}']);
    }
    const got = await mlflow('GET', `registered-models/alias?${query({ name, alias })}`);
    expect(got.json()).toMatchObject({ model_version: { version: '2', aliases: [alias] } });
    const model = await mlflow('GET', `registered-models/get?${query({ name })}`);
    expect(model.json<{ registered_model: Model }>().registered_model.aliases).toEqual([
      { alias, version: '2' },
    ]);
    const latest = await mlflow(
      'GET',
      `registered-models/alias?${query({ name, alias: 'latest' })}`,
    );
    expect(latest.json()).toMatchObject({ model_version: { version: '2' } });
    for (const body of [
      { name, alias },
      { name, alias },
    ]) {
      expect((await mlflow('DELETE', 'registered-models/alias', body)).status).toBe(200);
    }
    const gone = await mlflow('GET', `registered-models/alias?${query({ name, alias })}`);
    expect(gone.status).toBe(400);
    expect(gone.json()).toEqual({
      error_code: 'INVALID_PARAMETER_VALUE',
      message: 'Registered model alias champion not found.',
    });
  });

  it('starts nothing for a model that does not exist or an alias that may not', async () => {
    const name = await modelWith(1);
    const before = submitted.length;
    await mlflow('POST', 'registered-models/alias', { name: 'none', alias: 'c', version: 1 });
    await mlflow('DELETE', 'registered-models/alias', { name: 'none', alias: 'c' });
    await mlflow('POST', 'registered-models/alias', { name, alias: 'latest', version: 1 });
    await mlflow('POST', 'registered-models/alias', { name, alias: 'v3', version: 1 });
    expect(submitted).toHaveLength(before);
  });

  it('gives the newest version by GET and by POST', async () => {
    const name = await modelWith(3);
    const path = 'registered-models/get-latest-versions';
    const replies = [
      await mlflow('GET', `${path}?${query({ name })}`),
      await mlflow('POST', path, { name, stages: ['None'] }),
    ];
    for (const reply of replies) {
      expect(reply.json()).toMatchObject({
        model_versions: [{ version: '3', current_stage: 'None' }],
      });
    }
    const other = await mlflow('POST', path, { name, stages: ['Production'] });
    expect(other.json()).toEqual({});
  });
});

describe('MLflow model-versions', () => {
  it('numbers versions as text, and keeps source, run, tags and description', async () => {
    const name = await modelWith(1);
    const source = 'mlflow-artifacts:/0/run1/artifacts/model';
    const tags = [{ key: 'k', value: 'v' }];
    const body = { name, source, run_id: 'run1', tags, description: 'd', run_link: 'ignored' };
    const made = await mlflow('POST', 'model-versions/create', body);
    const expected = { name, version: '2', source, run_id: 'run1', tags, description: 'd', status: 'READY' }; // prettier-ignore
    expect(made.json()).toMatchObject({ model_version: expected });
    const key = { name, version: '2' };
    await mlflow('PATCH', 'model-versions/update', { ...key, description: 'e' });
    await mlflow('POST', 'model-versions/set-tag', { ...key, key: 'l', value: 'w' });
    await mlflow('DELETE', 'model-versions/delete-tag', { ...key, key: 'k' });
    const got = await mlflow('GET', `model-versions/get?${query(key)}`);
    expect(got.json()).toMatchObject({
      model_version: { description: 'e', tags: [{ key: 'l', value: 'w' }] },
    });
  });

  it('searches by name and by run, newest first, in pages', async () => {
    const name = await modelWith(3);
    const filter = `name = '${name}' AND run_id="run1"`;
    const versions: string[] = [];
    let page_token = '';
    do {
      const wanted = query({ filter, max_results: '2', page_token });
      const reply = await mlflow('GET', `model-versions/search?${wanted}`);
      const page = reply.json<{
        model_versions: { version: string }[];
        next_page_token?: string;
      }>();
      versions.push(...page.model_versions.map((v) => v.version));
      page_token = page.next_page_token ?? '';
    } while (page_token !== '');
    expect(versions).toEqual(['3', '2', '1']);
    const other = query({ filter: `name='${name}' and run_id='other'` });
    expect((await mlflow('GET', `model-versions/search?${other}`)).json()).toEqual({});
  });

  it('names a folder from which clients can download, whatever the source', async () => {
    const digest = 'ef'.repeat(32);
    const id = 'ab'.repeat(32);
    const manifest = [{ path: 'data/model.bin', digest, sizeBytes: 3 }];
    await insertObjects(db.postgres, { projectId, objects: [{ digest, sizeBytes: 3 }] });
    await insertArtifact(db.postgres, { projectId, id, kind: 'model', manifest, sizeBytes: 3 });
    const name = await modelWith(0);
    const cases = [
      ['mlflow-artifacts:/0/run1/artifacts/m', 'mlflow-artifacts:/0/run1/artifacts/m'],
      ['runs:/run1/sub/model', 'mlflow-artifacts:/0/run1/artifacts/sub/model'],
      [`anneal:/artifacts/${id}`, `mlflow-artifacts:/artifacts/${id}`],
      [`models:/${name}/3`, `mlflow-artifacts:/artifacts/${id}`],
    ] as const;
    for (const [i, [source, uri]] of cases.entries()) {
      await mlflow('POST', 'model-versions/create', { name, source });
      const key = query({ name, version: String(i + 1) });
      const reply = await mlflow('GET', `model-versions/get-download-uri?${key}`);
      expect(reply.json()).toEqual({ artifact_uri: uri });
    }
    const folder = `artifacts/${id}`;
    const files = await selectArtifactFiles(db.postgres, { projectId, folder, limit: 10 });
    expect(files).toEqual([{ path: `${folder}/data/model.bin`, digest, sizeBytes: 3 }]);
    await mlflow('POST', 'model-versions/create', { name, source: `models:/${name}/5` });
    const loop = await mlflow(
      'GET',
      `model-versions/get-download-uri?${query({ name, version: '5' })}`,
    );
    expect(loop.status).toBe(400);
  });
});

describe('/api/v1/models', () => {
  it('shows a model with versions, aliases and their history', async () => {
    const name = await modelWith(2);
    const path = `/api/v1/models/${encodeURIComponent(name)}`;
    const set = await send('PUT', `${path}/aliases/champion`, { version: 2, reason: 'better' });
    const changed = { alias: 'champion', version: 2, previousVersion: null, revision: 1 };
    expect(set.json()).toEqual(changed);
    expect((await send('GET', path)).json()).toMatchObject({
      name,
      newestVersion: 2,
      aliases: [{ alias: 'champion', version: 2 }],
      versions: [{ version: 2, aliases: ['champion'] }, { version: 1 }],
      aliasHistory: [
        { alias: 'champion', oldVersion: null, newVersion: 2, actor: 'ada', reason: 'better' },
      ],
    });
    const list = await send('GET', '/api/v1/models?limit=1000');
    expect(list.json<{ models: Model[] }>().models.map((model) => model.name)).toContain(name);
  });

  it('compares before it swaps, and repeats an answer for a repeated key', async () => {
    const path = `/api/v1/models/${encodeURIComponent(await modelWith(2))}/aliases/champion`;
    const first = { version: 1, expectedVersion: null, idempotencyKey: 'k' };
    const answers = [await send('PUT', path, first), await send('PUT', path, first)];
    expect(answers.map((reply) => reply.json<{ revision: number }>().revision)).toEqual([1, 1]);
    const late = await send('PUT', path, { version: 2, expectedVersion: null });
    expect(late.status).toBe(409);
    expect(late.json()).toMatchObject({ code: 'CONFLICT' });
    const removed = await send('PUT', path, { version: null, expectedVersion: 1 });
    expect(removed.json()).toMatchObject({ version: null, previousVersion: 1, revision: 2 });
    for (const body of [{}, { version: 0 }, { version: 1, extra: 1 }, { version: '1' }]) {
      expect((await send('PUT', path, body)).status).toBe(400);
    }
  });
});
