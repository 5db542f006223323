import { createRegistryApi, type RegistryApi } from '../support/registry-api';

let api: RegistryApi;

beforeAll(async () => {
  api = await createRegistryApi();
});
afterAll(async () => {
  await api.drop();
});

describe('/api/v1/models', () => {
  it('shows a model with versions, aliases and their history', async () => {
    const name = await api.modelWith(2);
    const path = `/api/v1/models/${encodeURIComponent(name)}`;
    const set = await api.send('PUT', `${path}/aliases/champion`, { version: 2, reason: 'better' });
    const changed = { alias: 'champion', version: 2, previousVersion: null, revision: 1 };
    expect(set.json()).toEqual(changed);
    expect((await api.send('GET', path)).json()).toMatchObject({
      name,
      newestVersion: 2,
      aliases: [{ alias: 'champion', version: 2 }],
      versions: [{ version: 2, aliases: ['champion'] }, { version: 1 }],
      aliasHistory: [
        { alias: 'champion', oldVersion: null, newVersion: 2, actor: 'ada', reason: 'better' },
      ],
    });
    const list = await api.send('GET', '/api/v1/models?limit=1000');
    expect(list.json<{ models: { name: string }[] }>().models.map((model) => model.name)).toContain(
      name,
    );
  });

  it('compares before it swaps, and repeats an answer for a repeated key', async () => {
    const path = `/api/v1/models/${encodeURIComponent(await api.modelWith(2))}/aliases/champion`;
    const first = { version: 1, expectedVersion: null, idempotencyKey: 'k' };
    const answers = [await api.send('PUT', path, first), await api.send('PUT', path, first)];
    expect(answers.map((reply) => reply.json<{ revision: number }>().revision)).toEqual([1, 1]);
    const late = await api.send('PUT', path, { version: 2, expectedVersion: null });
    expect(late.status).toBe(409);
    expect(late.json()).toMatchObject({ code: 'CONFLICT' });
    const removed = await api.send('PUT', path, { version: null, expectedVersion: 1 });
    expect(removed.json()).toMatchObject({ version: null, previousVersion: 1, revision: 2 });
    for (const body of [{}, { version: 0 }, { version: 1, extra: 1 }, { version: '1' }]) {
      expect((await api.send('PUT', path, body)).status).toBe(400);
    }
  });
});
