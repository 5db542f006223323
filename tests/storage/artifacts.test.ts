import type { Download } from '../../schemas/attempts';
import { linkArtifact } from '../../tracker/artifacts';
import {
  commitFiles,
  fileOf,
  planUploads,
  sha256,
  startArtifactLab,
  uploadTexts,
} from '../support/artifacts';
import type { ArtifactLab } from '../support/artifacts';
import type { HttpReply } from '../support/http';

const OTHER = { 'x-project': 'other' };
let lab: ArtifactLab;

beforeAll(async () => {
  lab = await startArtifactLab();
});
afterAll(() => lab.close());

const problem = (reply: HttpReply): { status: number; code: string; detail: string } => {
  const { code, detail } = reply.json<{ code: string; detail: string }>();
  return { status: reply.status, code, detail };
};

describe('artifacts of /api/v1', () => {
  it('are planned, uploaded, committed and downloaded', async () => {
    const [a, b] = [fileOf('b/a.txt', 'first'), fileOf('a.txt', 'second')];
    expect((await planUploads(lab, [a, b, a])).map((upload) => upload.digest)).toEqual([
      a.digest,
      b.digest,
    ]);
    await uploadTexts(lab, ['first', 'second']);
    const committed = await commitFiles(lab, [a, b]);
    expect(committed.status).toBe(201);
    const entry = (path: string, text: string) =>
      `{"digest":"${sha256(text)}","path":"${path}","sizeBytes":${text.length}}`;
    const id = sha256(`[${entry('a.txt', 'second')},${entry('b/a.txt', 'first')}]`);
    expect(committed.json()).toEqual({ id });
    expect((await commitFiles(lab, [b, a])).json()).toEqual({ id });
    expect(await planUploads(lab, [a, b])).toEqual([]);
    const got = (await lab.call('GET', `/api/v1/artifacts/${id}`)).json<Download>();
    expect({ id: got.artifactId, kind: got.kind }).toEqual({ id, kind: 'model' });
    const texts = got.files.map(async ({ path, url }) => [path, await (await fetch(url)).text()]);
    expect(await Promise.all(texts)).toEqual([['a.txt', 'second'], ['b/a.txt', 'first']]); // prettier-ignore
  });

  it('belong to their project alone, and so do their bytes', async () => {
    const file = fileOf('f', 'a secret of one project');
    await uploadTexts(lab, ['a secret of one project']);
    const { id } = (await commitFiles(lab, [file])).json<{ id: string }>();
    expect((await planUploads(lab, [file], OTHER)).map((upload) => upload.digest)).toEqual([
      file.digest,
    ]);
    expect(problem(await commitFiles(lab, [file], OTHER))).toMatchObject({
      status: 409,
      code: 'CONFLICT',
    });
    const read = await lab.call('GET', `/api/v1/artifacts/${id}`, { headers: OTHER });
    expect(problem(read)).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  });

  it('are not committed without their bytes, or with another size', async () => {
    const missing = fileOf('f', 'never uploaded');
    const reply = problem(await commitFiles(lab, [missing]));
    expect(reply).toMatchObject({ status: 409, code: 'CONFLICT' });
    expect(reply.detail).toContain(missing.digest);
    await uploadTexts(lab, ['uploaded']);
    const longer = { ...fileOf('f', 'uploaded'), sizeBytes: 9 };
    expect(problem(await commitFiles(lab, [longer]))).toMatchObject({
      status: 409,
      code: 'CONFLICT',
    });
    expect((await commitFiles(lab, [fileOf('f', 'uploaded')])).status).toBe(201);
    expect(problem(await commitFiles(lab, [longer]))).toMatchObject({
      status: 409,
      code: 'CONFLICT',
    });
  });

  it.each([
    ['a path that climbs', ['../f']],
    ['an encoded path that climbs', ['%2e%2e/f']],
    ['an absolute path', ['/f']],
    ['an empty part', ['a//f']],
    ['a backslash', ['a\\f']],
    ['a drive', ['C:f']],
    ['half a character', ['\ud800']],
    ['a path twice', ['f', 'f']],
    ['a file that is a folder too', ['f', 'f/g']],
    ['a path too long for an index', ['\u{1f600}'.repeat(501)]],
  ])('refuse %s', async (_what, paths) => {
    await uploadTexts(lab, ['text']);
    const reply = await commitFiles(
      lab,
      paths.map((path) => fileOf(path, 'text')),
    );
    expect(problem(reply)).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
  });

  it('take a path of the greatest length', async () => {
    await uploadTexts(lab, ['text']);
    const path = Array.from({ length: 500 }, (_, i) => String.fromCodePoint(0x10000 + i * 7));
    expect((await commitFiles(lab, [fileOf(path.join(''), 'text')])).status).toBe(201);
    const { id } = (await commitFiles(lab, [fileOf(path.join(''), 'text')])).json<{ id: string }>();
    const link = linkArtifact(lab.db, { projectId: 'default', artifactId: id, folder: 'a/b' });
    await expect(link).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' }); // longer still
  });
});
