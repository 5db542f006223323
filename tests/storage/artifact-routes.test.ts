import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Permission } from '../../schemas/tokens';
import { linkArtifact } from '../../tracker/artifacts';
import { moveExperiment } from '../../tracker/experiments';
import { moveRun } from '../../tracker/runs';
import {
  commitFiles,
  fileOf,
  newRun,
  planUploads,
  postJson,
  sha256,
  startArtifactLab,
  uploadTexts,
} from '../support/artifacts';
import type { ArtifactLab } from '../support/artifacts';
import type { HttpReply } from '../support/http';

const OTHER = { 'x-project': 'other' };
let lab: ArtifactLab;
let run: Awaited<ReturnType<typeof newRun>>;

beforeAll(async () => {
  lab = await startArtifactLab();
});
afterAll(() => lab.close());
beforeEach(async () => {
  run = await newRun(lab, 'default');
});

interface Listing {
  readonly root_uri?: string;
  readonly files?: readonly { readonly path: string; readonly is_dir: boolean }[];
}
const PROXY = '/api/2.0/mlflow-artifacts';
const put = (path: string, body: string | Buffer, headers: Record<string, string> = {}) =>
  lab.call('PUT', `${PROXY}/artifacts/${path}`, { body, headers });
const get = (path: string, headers: Record<string, string> = {}) =>
  lab.call('GET', `${PROXY}/artifacts/${path}`, { headers });
const list = async (folder: string, prefix = PROXY) => {
  const query = new URLSearchParams({ path: folder }).toString();
  return (await lab.call('GET', `${prefix}/artifacts?${query}`)).json<Listing>();
};
const refusal = (reply: HttpReply) => {
  const { error_code: code } = reply.json<{ error_code: string }>();
  return [reply.status, code];
};
const NO = [400, 'INVALID_PARAMETER_VALUE'];

describe("MLflow's artifact proxy", () => {
  it('stores, lists, serves and deletes files', async () => {
    const { folder } = run;
    expect((await put(`${folder}/a.txt`, 'one')).json()).toEqual({});
    await put(`${folder}/model/data/weights`, 'three', { 'content-type': 'text/html' });
    await put(`${folder}/model/MLmodel`, 'four', { 'content-type': 'application/json' });
    const file = { path: 'a.txt', is_dir: false, file_size: 3 };
    expect(await list(folder)).toEqual({ files: [file, { path: 'model', is_dir: true }] });
    expect((await list(`${folder}/model`)).files?.map((f) => f.path)).toEqual(['MLmodel', 'data']);
    expect(await list(`${folder}/a.txt`)).toEqual({ files: [] });
    expect(await list(`${folder}/mod`)).toEqual({ files: [] });
    const got = await get(`${folder}/model/data/weights`);
    expect([got.status, got.text]).toEqual([200, 'three']);
    expect(got.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '5',
      'content-disposition': "attachment; filename*=UTF-8''weights",
      'x-content-type-options': 'nosniff',
    });
    await put(`${folder}/a.txt`, 'another');
    expect((await get(`${folder}/a.txt`)).text).toBe('another');
    expect((await lab.call('DELETE', `${PROXY}/artifacts/${folder}/model`)).json()).toEqual({});
    expect((await list(folder)).files?.map((f) => f.path)).toEqual(['a.txt']);
    expect(refusal(await get(`${folder}/model/MLmodel`))).toEqual([404, 'RESOURCE_DOES_NOT_EXIST']);
  });

  it('answers under /ajax-api as well', async () => {
    const ajax = '/ajax-api/2.0/mlflow-artifacts';
    const url = `${ajax}/artifacts/${run.folder}/f`;
    expect((await lab.call('PUT', url, { body: 'text' })).status).toBe(200);
    expect((await lab.call('GET', url)).text).toBe('text');
    expect((await list(run.folder, ajax)).files).toHaveLength(1);
  });

  it('streams large files, and empty ones', async () => {
    const large = Buffer.alloc(20 * 1024 * 1024); // more than the limit of other bodies
    for (let i = 0; i < large.length; i += 4) large.writeUInt32LE(i, i);
    expect((await put(`${run.folder}/large`, large)).status).toBe(200);
    const got = await fetch(`${lab.base}${PROXY}/artifacts/${run.folder}/large`);
    expect(sha256(Buffer.from(await got.arrayBuffer()))).toBe(sha256(large));
    expect((await put(`${run.folder}/empty`, '')).status).toBe(200);
    expect(await get(`${run.folder}/empty`)).toMatchObject({ status: 200, text: '' });
  });

  it('keeps names as they are', async () => {
    for (const name of ['a b', 'Übung ☃.txt', '100%', "it's (1)*.txt", 'a+b&c=d', 'a:b', '...']) {
      const path = `${run.folder}/${encodeURIComponent(name)}`;
      expect((await put(path, name)).status).toBe(200);
      expect((await get(path)).text).toBe(name);
      expect((await list(run.folder)).files?.map((f) => f.path)).toContain(name);
    }
  });

  it('lists a folder of many files, and of folders in which many more lie', async () => {
    await uploadTexts(lab, ['x']);
    const paths = Array.from({ length: 9_000 }, (_, i) => `many/${i}`);
    const files = [...paths, 'one/f', 'z'].map((path) => fileOf(path, 'x'));
    const { id } = (await commitFiles(lab, files)).json<{ id: string }>();
    const at = { projectId: 'default', artifactId: id, folder: run.folder };
    await linkArtifact(lab.db, at);
    await linkArtifact(lab.db, { ...at, folder: `${run.folder}/many/again` });
    expect((await list(run.folder)).files?.map((f) => f.path)).toEqual(['many', 'one', 'z']);
    expect((await list(`${run.folder}/many`)).files).toHaveLength(9_001);
    expect((await get(`${run.folder}/many/again/z`)).text).toBe('x');
  });

  it('takes writes for active runs and models of the project only', async () => {
    const { runId, experimentId, folder } = run;
    const other = await newRun(lab, 'other');
    const gone = await newRun(lab, 'default');
    const ada = { kind: 'local', name: 'ada', permissions: new Set<Permission>() } as const;
    const principal = { ...ada, projectId: 'default' };
    await moveRun(lab.db, { principal, runId: gone.runId, stage: 'deleted' });
    expect((await put(`${experimentId}/models/m-1/artifacts/f`, 'x')).status).toBe(200);
    const refused = [
      'f', `${experimentId}/f`, `${experimentId}/${runId}/f`, `${experimentId}/${runId}/other/f`,
      folder, `0/${runId}/artifacts/f`, `${gone.folder}/f`, `${experimentId}/models/f`,
      `x/models/m-1/f`, `artifacts/${sha256('x')}/f`,
    ]; // prettier-ignore
    for (const path of refused) {
      expect({ path, answer: refusal(await put(path, 'x')) }).toEqual({ path, answer: NO });
    }
    const missing = [`${other.folder}/f`, `${other.experimentId}/models/m-1/f`, '9999/models/m/f'];
    for (const path of missing) expect((await put(path, 'x')).status).toBe(404);
    expect((await put(`${folder}/f`, 'x')).status).toBe(200);
    expect((await get(`${folder}/f`, OTHER)).status).toBe(404);
    const foreign = { headers: OTHER };
    expect((await lab.call('DELETE', `${PROXY}/artifacts/${folder}/f`, foreign)).status).toBe(404);
    await moveExperiment(lab.db, { projectId: 'default', id: experimentId, stage: 'deleted' });
    expect(refusal(await put(`${experimentId}/models/m-1/f`, 'x'))).toEqual(NO);
    expect((await get(`${folder}/f`)).text).toBe('x');
  });

  it('refuses an attempt that was replaced', async () => {
    const sql = lab.db.postgres;
    await sql.query(`INSERT INTO plans (project_id, id, plan) VALUES ('default', 'p', '{}')`);
    await sql.query(`INSERT INTO pipeline_runs (project_id, id, plan_id, pipeline, params, status)
      VALUES ('default', 'r', 'p', 'p', '{}', 'running')`);
    await sql.query(`INSERT INTO steps (project_id, run_id, key, index, spec, status)
      VALUES ('default', 'r', 's', 0, '{}', 'running')`);
    await sql.query(`INSERT INTO attempts (project_id, run_id, step_key, attempt, node, status)
      VALUES ('default', 'r', 's', 2, 'n', 'running')`);
    await sql.query(`UPDATE runs SET pipeline_run_id = 'r' WHERE id = $1`, [run.runId]);
    const old = await put(`${run.folder}/f`, 'x', { 'x-attempt': '1' });
    expect(refusal(old)).toEqual([409, 'RESOURCE_CONFLICT']);
    expect((await put(`${run.folder}/f`, 'x', { 'x-attempt': '2' })).status).toBe(200);
  });

  it('refuses a file where a folder is, and a folder where a file is', async () => {
    await put(`${run.folder}/a/b`, 'x');
    expect(refusal(await put(`${run.folder}/a`, 'x'))).toEqual(NO);
    expect(refusal(await put(`${run.folder}/a/b/c`, 'x'))).toEqual(NO);
    expect((await put(`${run.folder}/a/bc`, 'x')).status).toBe(200);
  });

  it('tells the sender of a large file why it was refused', async () => {
    const body = Buffer.alloc(8 * 1024 * 1024);
    const url = `${lab.base}${PROXY}/artifacts/nowhere/f`;
    const reply = await fetch(url, { method: 'PUT', body });
    expect(reply.status).toBe(400);
    const { digest } = fileOf('f', 'x');
    const [signed] = await planUploads(lab, [{ path: 'f', digest, sizeBytes: 1 }], OTHER);
    const tooMuch = await fetch(signed?.url ?? '', { method: 'PUT', body });
    expect(tooMuch.status).toBe(400);
    expect(await tooMuch.json()).toMatchObject({ code: 'CHECKSUM_MISMATCH' });
  });

  it('refuses too many bytes at once, without waiting for the rest', async () => {
    const [signed] = await planUploads(lab, [{ ...fileOf('f', 'y'), sizeBytes: 1 }], OTHER);
    const options = { method: 'PUT', headers: { 'content-length': '1000000' } };
    const status = await new Promise((resolve, reject) => {
      const sending = request(signed?.url ?? '', options, (reply) => {
        resolve(reply.statusCode);
        sending.destroy();
      });
      sending.on('error', reject);
      sending.write('more than one byte');
    });
    expect(status).toBe(400);
  });

  it('keeps nothing of an upload that the sender gave up', async () => {
    const options = { method: 'PUT', headers: { 'content-length': '1000' } };
    const sending = request(`${lab.base}${PROXY}/artifacts/${run.folder}/f`, options);
    sending.on('error', () => undefined);
    sending.write('only the beginning');
    const incoming = () => readdirSync(join(lab.root, '.incoming')).length;
    for (let i = 0; incoming() === 0 && i < 1_000; i += 1) await sleep(5);
    expect(incoming()).toBe(1);
    sending.destroy();
    for (let i = 0; incoming() > 0 && i < 1_000; i += 1) await sleep(5);
    expect(incoming()).toBe(0);
    expect(await list(run.folder)).toEqual({ files: [] });
  });

  it.each(['create', 'complete', 'abort'])(
    'sends clients back to plain uploads: %s',
    async (verb) => {
      const reply = await postJson(lab, `${PROXY}/mpu/${verb}/${run.folder}`, {
        body: { path: 'f', num_parts: 2 },
      });
      expect(refusal(reply)).toEqual([501, 'NOT_IMPLEMENTED']);
      expect(reply.json<{ message: string }>().message).toMatch(
        /^Multipart upload is not supported for the current artifact repository/,
      );
    },
  );

  it('has no presigned URLs', async () => {
    const download = await lab.call('GET', `${PROXY}/presigned/${run.folder}/f`);
    const asked = { run_id: run.runId, path: 'f' };
    const toUpload = await postJson(lab, '/api/2.0/mlflow/artifacts/presigned-upload-url', {
      body: asked,
    });
    expect([download, toUpload].map(refusal)).toEqual(Array(2).fill([501, 'NOT_IMPLEMENTED']));
  });
});

describe('artifacts/list', () => {
  const listRun = (query: Record<string, string>, headers: Record<string, string> = {}) =>
    lab.call('GET', `/api/2.0/mlflow/artifacts/list?${new URLSearchParams(query).toString()}`, {
      headers,
    });

  it("names files from the run's root", async () => {
    const { runId, folder } = run;
    const root = { root_uri: `mlflow-artifacts:/${folder}` };
    expect((await listRun({ run_id: runId })).json()).toEqual(root);
    await put(`${folder}/a/b/c`, 'four');
    await put(`${folder}/a/d`, 'x');
    const top = { ...root, files: [{ path: 'a', is_dir: true }] };
    expect((await listRun({ run_uuid: runId })).json()).toEqual(top);
    const file = { path: 'a/d', is_dir: false, file_size: 1 };
    const files = [{ path: 'a/b', is_dir: true }, file];
    expect((await listRun({ run_id: runId, path: 'a' })).json()).toEqual({ ...root, files });
    expect((await listRun({ run_id: runId, path: 'a/d' })).json()).toEqual(root);
  });

  it('refuses unknown and foreign runs, no run, and paths that climb', async () => {
    expect((await listRun({ run_id: 'f'.repeat(32) })).status).toBe(404);
    expect((await listRun({ run_id: run.runId }, OTHER)).status).toBe(404);
    expect(refusal(await listRun({}))).toEqual(NO);
    for (const path of ['..', 'a/../..', '%2e%2e', '/etc', 'a\\b', '.']) {
      expect(refusal(await listRun({ run_id: run.runId, path }))).toEqual(NO);
    }
  });
});
