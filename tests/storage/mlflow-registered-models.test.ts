import { createRegistryApi, query, type RegistryApi } from '../support/registry-api';

let api: RegistryApi;

beforeAll(async () => {
  api = await createRegistryApi();
});
afterAll(async () => {
  await api.drop();
});

interface Model {
  readonly name: string;
  readonly latest_versions?: { readonly version: string }[];
  readonly aliases?: { readonly alias: string; readonly version: string }[];
}

describe('MLflow registered-models', () => {
  it('creates, gets and describes; a taken name is RESOURCE_ALREADY_EXISTS with 400', async () => {
    const tags = [{ key: 'k', value: 'v' }];
    const made = await api.mlflow('POST', 'registered-models/create', { name: 'a', description: 'd', tags }); // prettier-ignore
    const expected = { name: 'a', description: 'd', tags };
    const { registered_model: model } = made.json<{ registered_model: Record<string, unknown> }>();
    expect(model).toMatchObject(expected);
    expect(model).not.toHaveProperty('latest_versions'); // empty lists are left out
    expect(Number.isInteger(model['creation_timestamp'])).toBe(true);
    const again = await api.mlflow('POST', 'registered-models/create', { name: 'a' });
    expect(again.status).toBe(400);
    expect(again.json()).toMatchObject({ error_code: 'RESOURCE_ALREADY_EXISTS' });
    const changed = await api.mlflow('PATCH', 'registered-models/update', {
      name: 'a',
      description: 'e',
    });
    expect(changed.json()).toMatchObject({ registered_model: { description: 'e' } });
    await api.mlflow('POST', 'registered-models/set-tag', { name: 'a', key: 'l', value: 'w' });
    await api.mlflow('DELETE', 'registered-models/delete-tag', { name: 'a', key: 'k' });
    const got = await api.mlflow('GET', `registered-models/get?${query({ name: 'a' })}`);
    expect(got.json()).toMatchObject({ registered_model: { tags: [{ key: 'l', value: 'w' }] } });
  });

  const invalid = [400, 'INVALID_PARAMETER_VALUE'];
  const missing = [404, 'RESOURCE_DOES_NOT_EXIST'];
  it.each([
    ['registered-models/get?name=none', missing],
    ['registered-models/get', invalid],
    ['registered-models/get?name=a%00b', invalid],
    ['model-versions/get?name=a&version=99', missing],
    ['model-versions/get?name=a&version=99999999999', missing],
    ['model-versions/get?name=a&version=x', invalid],
    ['registered-models/search?max_results=1001', invalid],
    ['registered-models/search?filter=name+LIKE+%27a%25%27', [501, 'NOT_IMPLEMENTED']],
    ['registered-models/search?page_token=!', invalid],
    ['model-versions/search?page_token=IjEi', invalid],
  ])('GET %s answers %j', async (path, answer) => {
    const reply = await api.mlflow('GET', path);
    expect([reply.status, reply.json<{ error_code: string }>().error_code]).toEqual(answer);
  });

  it.each([
    ['registered-models/create', { name: 'x/y' }, invalid],
    ['model-versions/create', { name: 'none', source: 'runs:/r/m' }, missing],
    ['model-versions/create', { name: 'a', source: '/etc/passwd' }, invalid],
    ['registered-models/alias', { name: 'none', alias: 'c', version: '1' }, missing],
  ])('POST %s %j answers %j', async (path, body, answer) => {
    const reply = await api.mlflow('POST', path, body);
    expect([reply.status, reply.json<{ error_code: string }>().error_code]).toEqual(answer);
  });

  it("searches in pages, with the filter that Python's client always sends", async () => {
    const names = await Promise.all([api.modelWith(1), api.modelWith(0), api.modelWith(2)]);
    const prompt = await api.modelWith(0);
    const tag = { name: prompt, key: 'mlflow.prompt.is_prompt', value: 'true' };
    await api.mlflow('POST', 'registered-models/set-tag', tag);
    const found: Model[] = [];
    let page_token = '';
    do {
      const filter = "tag.`mlflow.prompt.is_prompt` != 'true'";
      const wanted = query({ filter, max_results: '2', page_token });
      const reply = await api.mlflow('GET', `registered-models/search?${wanted}`);
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
    const one = await api.mlflow(
      'GET',
      `registered-models/search?${query({ filter: `name='${prompt}'` })}`,
    );
    expect(one.json<{ registered_models: Model[] }>().registered_models).toHaveLength(1);
  });

  it('sets, moves, resolves and removes aliases', async () => {
    const name = await api.modelWith(2);
    const alias = 'champion';
    // R's client sends numbers as texts
    for (const version of ['1', 2]) {
      const set = await api.mlflow('POST', 'registered-models/alias', { name, alias, version });
      expect([set.status, set.text]).toEqual([200, '{}']);
    }
    const got = await api.mlflow('GET', `registered-models/alias?${query({ name, alias })}`);
    expect(got.json()).toMatchObject({ model_version: { version: '2', aliases: [alias] } });
    const model = await api.mlflow('GET', `registered-models/get?${query({ name })}`);
    expect(model.json<{ registered_model: Model }>().registered_model.aliases).toEqual([
      { alias, version: '2' },
    ]);
    const latest = await api.mlflow(
      'GET',
      `registered-models/alias?${query({ name, alias: 'latest' })}`,
    );
    expect(latest.json()).toMatchObject({ model_version: { version: '2' } });
    for (const body of [
      { name, alias },
      { name, alias },
    ]) {
      expect((await api.mlflow('DELETE', 'registered-models/alias', body)).status).toBe(200);
    }
    const gone = await api.mlflow('GET', `registered-models/alias?${query({ name, alias })}`);
    expect(gone.status).toBe(400);
    expect(gone.json()).toEqual({
      error_code: 'INVALID_PARAMETER_VALUE',
      message: 'Registered model alias champion not found.',
    });
  });

  it('starts nothing for a model that does not exist or an alias that may not', async () => {
    const name = await api.modelWith(1);
    const before = api.submitted.length;
    await api.mlflow('POST', 'registered-models/alias', { name: 'none', alias: 'c', version: 1 });
    await api.mlflow('DELETE', 'registered-models/alias', { name: 'none', alias: 'c' });
    await api.mlflow('POST', 'registered-models/alias', { name, alias: 'latest', version: 1 });
    await api.mlflow('POST', 'registered-models/alias', { name, alias: 'v3', version: 1 });
    expect(api.submitted).toHaveLength(before);
  });

  it('gives the newest version by GET and by POST', async () => {
    const name = await api.modelWith(3);
    const path = 'registered-models/get-latest-versions';
    const replies = [
      await api.mlflow('GET', `${path}?${query({ name })}`),
      await api.mlflow('POST', path, { name, stages: ['None'] }),
    ];
    for (const reply of replies) {
      expect(reply.json()).toMatchObject({
        model_versions: [{ version: '3', current_stage: 'None' }],
      });
    }
    const other = await api.mlflow('POST', path, { name, stages: ['Production'] });
    expect(other.json()).toEqual({});
  });
});
