import { selectArtifactFiles } from '../../storage/postgres/artifact-files';
import { insertArtifact } from '../../storage/postgres/artifacts';
import { insertObjects } from '../../storage/postgres/objects';
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

  it('names a folder from which clients can download, whatever the source', async () => {
    const digest = 'ef'.repeat(32);
    const id = 'ab'.repeat(32);
    const manifest = [{ path: 'data/model.bin', digest, sizeBytes: 3 }];
    await insertObjects(api.postgres, { projectId, objects: [{ digest, sizeBytes: 3 }] });
    await insertArtifact(api.postgres, { projectId, id, kind: 'model', manifest, sizeBytes: 3 });
    const name = await api.modelWith(0);
    const cases = [
      ['mlflow-artifacts:/0/run1/artifacts/m', 'mlflow-artifacts:/0/run1/artifacts/m'],
      ['runs:/run1/sub/model', 'mlflow-artifacts:/0/run1/artifacts/sub/model'],
      [`anneal:/artifacts/${id}`, `mlflow-artifacts:/artifacts/${id}`],
      [`models:/${name}/3`, `mlflow-artifacts:/artifacts/${id}`],
    ] as const;
    for (const [i, [source, uri]] of cases.entries()) {
      await api.mlflow('POST', 'model-versions/create', { name, source });
      const key = query({ name, version: String(i + 1) });
      const reply = await api.mlflow('GET', `model-versions/get-download-uri?${key}`);
      expect(reply.json()).toEqual({ artifact_uri: uri });
    }
    const folder = `artifacts/${id}`;
    const files = await selectArtifactFiles(api.postgres, { projectId, folder, limit: 10 });
    expect(files).toEqual([{ path: `${folder}/data/model.bin`, digest, sizeBytes: 3 }]);
    await api.mlflow('POST', 'model-versions/create', { name, source: `models:/${name}/5` });
    const loop = await api.mlflow(
      'GET',
      `model-versions/get-download-uri?${query({ name, version: '5' })}`,
    );
    expect(loop.status).toBe(400);
  });
});
