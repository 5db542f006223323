import { findVersionByAlias } from '../../registry/model-aliases';
import {
  createModelVersion,
  describeModelVersion,
  getModelVersion,
  searchModelVersions,
  tagModelVersion,
  untagModelVersion,
} from '../../registry/model-versions';
import {
  createRegisteredModel,
  describeRegisteredModel,
  getRegisteredModel,
  searchRegisteredModels,
  tagRegisteredModel,
  untagRegisteredModel,
} from '../../registry/registered-models';
import {
  actor,
  CALLERS,
  codeOf,
  createRegistryLab,
  projectId,
  putFiles,
  putRun,
  times,
  type RegistryLab,
} from '../support/registry';

let db: RegistryLab;
let hasRun = false;

beforeAll(async () => {
  db = await createRegistryLab();
});
afterAll(async () => {
  await db.drop();
});

describe('registered models', () => {
  it('keeps name, description and tags; the last of two tags with one key counts', async () => {
    const tags = [{ key: 'b', value: '1' }, { key: 'a', value: '2' }, { key: 'b', value: '3' }]; // prettier-ignore
    const name = 'digits';
    const made = await createRegisteredModel(db, {
      projectId,
      name,
      description: 'd',
      tags,
      actor,
    });
    expect(made).toMatchObject({
      name, description: 'd', newestVersion: null, aliases: [],
      tags: [{ key: 'a', value: '2' }, { key: 'b', value: '3' }],
    }); // prettier-ignore
    await describeRegisteredModel(db, { projectId, name, description: 'e' });
    await tagRegisteredModel(db, { projectId, name, key: 'a', value: '4' });
    await untagRegisteredModel(db, { projectId, name, key: 'b' });
    await untagRegisteredModel(db, { projectId, name, key: 'b' });
    expect(await getRegisteredModel(db, { projectId, name })).toMatchObject({
      description: 'e',
      tags: [{ key: 'a', value: '4' }],
    });
  });

  it('has one winner of many that create the same name', async () => {
    const codes = await times(CALLERS, () =>
      codeOf(createRegisteredModel(db, { projectId, name: 'contested', actor })),
    );
    expect(codes.filter((code) => code === 'it worked')).toHaveLength(1);
    expect(codes.filter((code) => code === 'ALREADY_EXISTS')).toHaveLength(CALLERS - 1);
  });

  it.each(['', 'a/b', 'a:b', 'a\0b', 'a\nb', 'x'.repeat(257)])(
    'refuses the name %j',
    async (name) => {
      expect(await codeOf(createRegisteredModel(db, { projectId, name, actor }))).toBe(
        'INVALID_ARGUMENT',
      );
    },
  );

  it('lists in pages without loss or repetition', async () => {
    for (const name of ['page a', 'page b', 'page c', 'page d', 'page e']) {
      await createRegisteredModel(db, { projectId, name, actor });
    }
    const names: string[] = [];
    let afterName: string | undefined = 'page';
    do {
      const page = { projectId, afterName, limit: 2 };
      const { models: found, next } = await searchRegisteredModels(db, page);
      expect(found.length).toBeLessThanOrEqual(2);
      names.push(...found.map((model) => model.name));
      afterName = next;
    } while (afterName !== undefined);
    expect(names).toEqual(['page a', 'page b', 'page c', 'page d', 'page e']);
  });

  it('belongs to one project', async () => {
    const name = await db.modelWith(1);
    const other = { projectId: 'other', name };
    expect(await codeOf(getRegisteredModel(db, other))).toBe('NOT_FOUND');
    expect(await codeOf(describeRegisteredModel(db, { ...other, description: 'x' }))).toBe(
      'NOT_FOUND',
    );
    expect(await codeOf(tagRegisteredModel(db, { ...other, key: 'a', value: 'b' }))).toBe(
      'NOT_FOUND',
    );
    expect(await codeOf(getModelVersion(db, { projectId: 'other', model: name, version: 1 }))).toBe(
      'NOT_FOUND',
    );
    const wanted = { projectId: 'other', model: name, alias: 'latest' };
    expect(await codeOf(findVersionByAlias(db, wanted))).toBe('NOT_FOUND');
    expect((await searchModelVersions(db, { projectId: 'other', limit: 10 })).versions).toEqual([]);
  });
});

describe('model versions', () => {
  it('are numbered from 1 without gaps, whoever comes at once and whatever fails between', async () => {
    const model = await db.modelWith(0);
    const source = `anneal:/artifacts/${await db.artifact('ab')}`;
    const [made] = await Promise.all([
      times(CALLERS * 4, () => db.addVersion(model, source)),
      times(CALLERS, () => codeOf(db.addVersion(model, 'file:///etc/passwd'))),
      times(CALLERS, () => codeOf(db.addVersion(model, 'mlflow-artifacts:/0/none'))),
    ]);
    const numbers = made.map((version) => version.version).sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: CALLERS * 4 }, (_, i) => i + 1));
    expect((await getRegisteredModel(db, { projectId, name: model })).newestVersion).toBe(64);
  });

  it('takes no number for a repeated idempotency key', async () => {
    const model = await db.modelWith(0);
    const [source, another] = await Promise.all(
      ['ab', 'cd'].map(async (digits) => `anneal:/artifacts/${await db.artifact(digits)}`),
    );
    if (source === undefined || another === undefined) throw new Error('no artifacts');
    const input = { projectId, model, source, actor, idempotencyKey: 'once' };
    const made = await times(CALLERS, () => createModelVersion(db, input));
    expect(new Set(made.map((version) => version.version))).toEqual(new Set([1]));
    expect((await db.addVersion(model, source)).version).toBe(2);
    const other = createModelVersion(db, { ...input, source: another });
    expect(await codeOf(other)).toBe('CONFLICT');
  });

  it('keeps source, run, description and tags', async () => {
    const model = await db.modelWith(0);
    const id = await db.artifact('ab');
    const made = await createModelVersion(db, {
      projectId, model, source: `anneal:/artifacts/${id}`, runId: 'run1', description: 'first',
      tags: [{ key: 'k', value: 'v' }], actor,
    }); // prettier-ignore
    expect(made).toMatchObject({
      model, version: 1, source: `anneal:/artifacts/${id}`, runId: 'run1', artifactId: id,
      description: 'first', tags: [{ key: 'k', value: 'v' }], aliases: [],
    }); // prettier-ignore
    const key = { projectId, model, version: 1 };
    await describeModelVersion(db, { ...key, description: 'second' });
    await tagModelVersion(db, { ...key, key: 'k', value: 'w' });
    await tagModelVersion(db, { ...key, key: 'l', value: 'x' });
    await untagModelVersion(db, { ...key, key: 'k' });
    expect(await getModelVersion(db, key)).toMatchObject({
      description: 'second',
      tags: [{ key: 'l', value: 'x' }],
    });
    const missing = { ...key, version: 2 };
    expect(await codeOf(tagModelVersion(db, { ...missing, key: 'k', value: 'w' }))).toBe(
      'NOT_FOUND',
    );
    expect(await codeOf(describeModelVersion(db, { ...missing, description: '' }))).toBe(
      'NOT_FOUND',
    );
    expect(await codeOf(db.addVersion('no such model', `anneal:/artifacts/${id}`))).toBe(
      'NOT_FOUND',
    );
    const unknown = `anneal:/artifacts/${'0'.repeat(64)}`;
    expect(await codeOf(db.addVersion(model, unknown))).toBe('NOT_FOUND');
  });

  it.each([
    'mlflow-artifacts:/0/r/artifacts/model', 'runs:/r/a..b/c', 'runs:/r/model/', 'runs:/r',
    'runs:/r/100%25', 'mlflow-artifacts://host:80/0/r',
  ])('takes the source %s', async (source) => {
    if (!hasRun) await putRun(db.postgres, 'r');
    hasRun = true;
    const files = { 'model/MLmodel': 'ab', 'a..b/c/MLmodel': 'ab', '100%25': 'ab' };
    await putFiles(db.postgres, '0/r/artifacts', files);
    expect((await db.addVersion(await db.modelWith(0), source)).source).toBe(source);
  }); // prettier-ignore

  it.each([
    '', 'anneal:/artifacts/x', 'runs:/', '/etc/passwd', 'file:///etc/passwd', 's3://bucket/x', 'http://169.254.169.254/',
    'runs:/../x', 'runs:/r/..', 'mlflow-artifacts:/a/%2e%2e/b', 'mlflow-artifacts:/a/%252e%252e/b',
    'runs:/r/..;x', 'runs:/r\\..\\x', 'runs:/r/a\0b', 'runs:/r/%00', 'runs:/r/100%/%2e%2e', 'RUNS:/r/x',
    'models:/m-1', 'models:/m@champion', 'models:/m/latest', 'models:/m/1/x', 'runs:/r//a', 'runs:/r/a#b',
    `runs:/${'x'.repeat(500)}`, `runs:/r/%${'25'.repeat(20)}2e`,
  ])('refuses the source %j', async (source) => {
    expect(await codeOf(db.addVersion('any', source))).toBe('INVALID_ARGUMENT');
  }); // prettier-ignore

  it('lists newest first, in pages, with aliases', async () => {
    const model = await db.modelWith(5);
    await db.change(model, { version: 4 });
    const seen: [number, string[]][] = [];
    let after: { model: string; version: number } | undefined;
    do {
      const page = await searchModelVersions(db, {
        projectId, model, limit: 2, ...(after === undefined ? {} : { after }),
      }); // prettier-ignore
      seen.push(...page.versions.map((v): [number, string[]] => [v.version, v.aliases]));
      after = page.next;
    } while (after !== undefined);
    expect(seen).toEqual([[5, []], [4, ['champion']], [3, []], [2, []], [1, []]]); // prettier-ignore
  });
});
