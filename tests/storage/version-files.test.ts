import { findDownloadUri } from '../../registry/model-versions';
import type { ModelVersion } from '../../schemas/model-versions';
import { deleteArtifactFiles, selectArtifactFiles } from '../../storage/postgres/artifact-files';
import { insertObjects } from '../../storage/postgres/objects';
import { setRunStage } from '../../storage/postgres/runs';
import { getArtifact } from '../../tracker/artifacts';
import {
  CALLERS,
  codeOf,
  createRegistryLab,
  idOf,
  projectId,
  putFiles,
  putRun,
  times,
  type RegistryLab,
} from '../support/registry';

let db: RegistryLab;
let model: string;
let run: string;
let folder: string;
let runs = 0;
beforeAll(async () => {
  db = await createRegistryLab();
});
afterAll(() => db.drop());
beforeEach(async () => {
  runs += 1;
  run = `run${runs}`;
  folder = `0/${run}/artifacts`;
  model = await db.modelWith(0);
  await putRun(db.postgres, run);
});

const file = (path: string, digits: string) => ({ path, digest: digits.repeat(32), sizeBytes: 1 });
/** What a client finds when it downloads the version. */
async function downloaded({ version }: ModelVersion): Promise<unknown[]> {
  const uri = await findDownloadUri(db, { projectId, model, version });
  const shown = uri.replace('mlflow-artifacts:/', '');
  const files = await selectArtifactFiles(db.postgres, { projectId, folder: shown, limit: 100 });
  return files.map((each) => ({ ...each, path: each.path.slice(shown.length + 1) }));
}

describe('a version of what lies in a run', () => {
  it.each(['runs:/RUN/model', 'mlflow-artifacts:/0/RUN/artifacts/model'])(
    'stays what %s was, whatever happens to the run',
    async (source) => {
      await putFiles(db.postgres, folder, { 'model/MLmodel': 'a1', 'model/data/w.bin': 'a2' });
      await putFiles(db.postgres, folder, { 'model2/MLmodel': 'a3', 'other.txt': 'a4' });
      const before = [file('MLmodel', 'a1'), file('data/w.bin', 'a2')];
      const version = await db.addVersion(model, source.replace('RUN', run));
      expect(version.artifactId).toBe(idOf(before));
      await putFiles(db.postgres, folder, { 'model/MLmodel': 'b1', 'model/new': 'b2' });
      expect(await downloaded(version)).toEqual(before);
      await deleteArtifactFiles(db.postgres, { projectId, path: folder });
      await setRunStage(db.postgres, { projectId, id: run, stage: 'deleted' });
      expect(await downloaded(version)).toEqual(before);
      const at = { projectId, artifactId: version.artifactId ?? '' };
      expect(await getArtifact(db, at)).toMatchObject({ kind: 'model', sizeBytes: 2 });
    },
  );

  it('has the new files only if it is registered after them', async () => {
    await putFiles(db.postgres, folder, { 'model/MLmodel': 'a1' });
    const source = `runs:/${run}/model`;
    const [first, same] = [await db.addVersion(model, source), await db.addVersion(model, source)];
    await putFiles(db.postgres, folder, { 'model/MLmodel': 'b1' });
    const later = await db.addVersion(model, source);
    expect(same.artifactId).toBe(first.artifactId);
    expect(await downloaded(first)).toEqual([file('MLmodel', 'a1')]);
    expect(await downloaded(later)).toEqual([file('MLmodel', 'b1')]);
  });

  it('may be all of the run, or one file', async () => {
    await putFiles(db.postgres, folder, { 'model/MLmodel': 'a1', 'model.bin': 'a2' });
    const all = await db.addVersion(model, `runs:/${run}`);
    expect(await downloaded(all)).toEqual([file('model.bin', 'a2'), file('model/MLmodel', 'a1')]);
    const one = await db.addVersion(model, `runs:/${run}/model.bin`);
    expect(await downloaded(one)).toEqual([file('model.bin', 'a2')]);
  });

  it('is never half of one write and half of another', async () => {
    const source = `runs:/${run}/model`;
    const write = (digits: string): Promise<void> =>
      putFiles(db.postgres, `${folder}/model`, { a: digits, b: digits, c: digits });
    await write('a0');
    const [versions] = await Promise.all([
      times(CALLERS, () => db.addVersion(model, source)),
      times(CALLERS, (i) => write(`b${i.toString(16)}`)),
    ]);
    for (const version of versions) {
      const digests = (await downloaded(version)) as { digest: string }[];
      expect([digests.length, new Set(digests.map(({ digest }) => digest)).size]).toEqual([3, 1]);
    }
  });
});

it('a version of another version has its files, whatever its source is later', async () => {
  await putFiles(db.postgres, folder, { 'model/MLmodel': 'a1' });
  const first = await db.addVersion(model, `runs:/${run}/model`);
  await putFiles(db.postgres, folder, { 'model/MLmodel': 'b1' });
  const second = await db.addVersion(model, `models:/${model}/1`);
  const third = await db.addVersion(model, `models:/${model}/2`);
  expect([second.artifactId, third.artifactId]).toEqual([first.artifactId, first.artifactId]);
  expect(third.source).toBe(`models:/${model}/2`);
});

describe('a source without files', () => {
  it.each([
    ['an empty folder', 'runs:/RUN/model'],
    ['a name that only begins alike', 'runs:/RUN/mod'],
    ['an empty run', 'runs:/RUN'],
    ['no run', 'runs:/none/model'],
    ['no version', 'models:/none/1'],
    ['no such number', 'models:/none/999999999'],
    ['no artifact', `anneal:/artifacts/${'0'.repeat(64)}`],
    ['an artifact of no file', `anneal:/artifacts/${'e'.repeat(64)}`],
  ])('is refused, and takes no number: %s', async (name, source) => {
    if (name.startsWith('a name')) await putFiles(db.postgres, folder, { 'model/MLmodel': 'a1' });
    const empty = [projectId, 'e'.repeat(64), 'model', '[]', 0];
    const sql = 'INSERT INTO artifacts VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING';
    await db.postgres.query(sql, empty);
    const rows = async (): Promise<unknown> =>
      db.postgres.query(`SELECT (SELECT count(*) FROM artifacts) AS a,
        (SELECT count(*) FROM artifact_files) AS f, (SELECT count(*) FROM audit) AS l,
        (SELECT count(*) FROM outbox) AS o, (SELECT count(*) FROM model_versions) AS v`);
    const before = await rows();
    expect(await codeOf(db.addVersion(model, source.replace('RUN', run)))).toBe('NOT_FOUND');
    expect(await rows()).toEqual(before);
    await putFiles(db.postgres, folder, { 'found/MLmodel': 'a1' });
    expect((await db.addVersion(model, `runs:/${run}/found`)).version).toBe(1);
  });

  it('is that of another project', async () => {
    await db.postgres.query(`INSERT INTO projects (id, name) VALUES ('theirs', 'Theirs')`);
    await insertObjects(db.postgres, { projectId: 'theirs', objects: [file('f', 'a1')] });
    await db.postgres.query(
      `INSERT INTO artifact_files (project_id, path, digest, size_bytes)
      VALUES ('theirs', $1, $2, 1)`,
      [`${folder}/model/MLmodel`, 'a1'.repeat(32)],
    );
    expect(await codeOf(db.addVersion(model, `runs:/${run}/model`))).toBe('NOT_FOUND');
  });
});

it('a folder of more than 10,000 files is refused, and nothing of it is kept', async () => {
  const many = Array.from({ length: 10_001 }, (_, i) => [`model/${i}`, 'a1'] as const);
  await putFiles(db.postgres, folder, Object.fromEntries(many.slice(1)));
  expect((await db.addVersion(model, `runs:/${run}/model`)).version).toBe(1);
  await putFiles(db.postgres, folder, Object.fromEntries(many.slice(0, 1)));
  expect(await codeOf(db.addVersion(model, `runs:/${run}/model`))).toBe('TOO_LARGE');
});

it('a version of before files were kept apart says so, instead of giving changed ones', async () => {
  await putFiles(db.postgres, folder, { 'model/MLmodel': 'a1' });
  await db.addVersion(model, `runs:/${run}/model`);
  await db.postgres.query('UPDATE model_versions SET artifact_id = NULL WHERE model = $1', [model]);
  const download = findDownloadUri(db, { projectId, model, version: 1 });
  expect(await codeOf(download)).toBe('INVALID_STATE');
  expect(await codeOf(db.addVersion(model, `models:/${model}/1`))).toBe('INVALID_STATE');
});
