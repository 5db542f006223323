import { selectArtifactFiles } from '../../storage/postgres/artifact-files';
import { idOf, putArtifact, putFiles } from '../support/registry';
import { createRegistryApi, query, type RegistryApi } from '../support/registry-api';

const projectId = 'default';
let api: RegistryApi;

beforeAll(async () => {
  api = await createRegistryApi();
});
afterAll(async () => {
  await api.drop();
});

describe('MLflow model-versions', () => {
  it('numbers versions as text, and keeps source, run, tags and description', async () => {
    const name = await api.modelWith(1);
    const source = 'mlflow-artifacts:/0/run1/artifacts/model';
    await putFiles(api.postgres, '0/run1/artifacts/model', { MLmodel: 'ab' });
    const tags = [{ key: 'k', value: 'v' }];
    const body = { name, source, run_id: 'run1', tags, description: 'd', run_link: 'ignored' };
    const made = await api.mlflow('POST', 'model-versions/create', body);
    const expected = { name, version: '2', source, run_id: 'run1', tags, description: 'd', status: 'READY' }; // prettier-ignore
    expect(made.json()).toMatchObject({ model_version: expected });
    const key = { name, version: '2' };
    await api.mlflow('PATCH', 'model-versions/update', { ...key, description: 'e' });
    await api.mlflow('POST', 'model-versions/set-tag', { ...key, key: 'l', value: 'w' });
    await api.mlflow('DELETE', 'model-versions/delete-tag', { ...key, key: 'k' });
    const got = await api.mlflow('GET', `model-versions/get?${query(key)}`);
    expect(got.json()).toMatchObject({
      model_version: { description: 'e', tags: [{ key: 'l', value: 'w' }] },
    });
  });

  it('searches by name and by run, newest first, in pages', async () => {
    const name = await api.modelWith(3);
    const filter = `name = '${name}' AND run_id="run1"`;
    const versions: string[] = [];
    let page_token = '';
    do {
      const wanted = query({ filter, max_results: '2', page_token });
      const reply = await api.mlflow('GET', `model-versions/search?${wanted}`);
      const page = reply.json<{
        model_versions: { version: string }[];
        next_page_token?: string;
      }>();
      versions.push(...page.model_versions.map((v) => v.version));
      page_token = page.next_page_token ?? '';
    } while (page_token !== '');
    expect(versions).toEqual(['3', '2', '1']);
    const other = query({ filter: `name='${name}' and run_id='other'` });
    expect((await api.mlflow('GET', `model-versions/search?${other}`)).json()).toEqual({});
  });

  it('names the folder of its own files, whatever the source', async () => {
    await putFiles(api.postgres, '0/run1/artifacts/sub/model', { 'data/model.bin': 'ef' });
    const id = await putArtifact(api.postgres, 'ab');
    const frozen = idOf([{ path: 'data/model.bin', digest: 'ef'.repeat(32), sizeBytes: 1 }]);
    const name = await api.modelWith(0);
    const cases = [
      ['mlflow-artifacts:/0/run1/artifacts/sub/model', frozen],
      ['runs:/run1/sub/model', frozen],
      [`anneal:/artifacts/${id}`, id],
      [`models:/${name}/3`, id],
    ] as const;
    for (const [i, [source, artifact]] of cases.entries()) {
      await api.mlflow('POST', 'model-versions/create', { name, source });
      const key = query({ name, version: String(i + 1) });
      const reply = await api.mlflow('GET', `model-versions/get-download-uri?${key}`);
      expect(reply.json()).toEqual({ artifact_uri: `mlflow-artifacts:/artifacts/${artifact}` });
      const listed = await api.mlflow('GET', `model-versions/get?${key}`);
      expect(listed.json()).toMatchObject({ model_version: { source, status: 'READY' } });
      const folder = `artifacts/${artifact}`;
      expect(
        await selectArtifactFiles(api.postgres, { projectId, folder, limit: 10 }),
      ).toHaveLength(1);
    }
  });

  it.each([
    ['runs:/run1/empty', "There are no files in 'runs:/run1/empty' to register. Log its files"],
    ['mlflow-artifacts:/0/run1/artifacts/empty', 'There are no files in'],
    ['runs:/none/model', "No run 'none' was found."],
    ['models:/none/1', "No model version 'none/1' was found."],
  ])('refuses a version of %s: there is nothing to download', async (source, message) => {
    const name = await api.modelWith(0);
    const reply = await api.mlflow('POST', 'model-versions/create', { name, source });
    expect(reply.status).toBe(404);
    expect(reply.json()).toEqual({
      error_code: 'RESOURCE_DOES_NOT_EXIST',
      message: expect.stringContaining(message) as string,
    });
    const filter = query({ filter: `name='${name}'` });
    expect((await api.mlflow('GET', `model-versions/search?${filter}`)).json()).toEqual({});
  });
});
