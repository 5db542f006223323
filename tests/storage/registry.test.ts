import { isAppError } from '../../errors/app-error';
import { changeAlias, findVersionByAlias, listAliasHistory } from '../../registry/model-aliases';
import {
  createModelVersion,
  describeModelVersion,
  getModelVersion,
  searchModelVersions,
  tagModelVersion,
  untagModelVersion,
} from '../../registry/model-versions';
import { registerModel } from '../../registry/register';
import {
  createRegisteredModel,
  describeRegisteredModel,
  getRegisteredModel,
  searchRegisteredModels,
  tagRegisteredModel,
  untagRegisteredModel,
} from '../../registry/registered-models';
import { insertArtifact } from '../../storage/postgres/artifacts';
import { listAudit } from '../../storage/postgres/audit';
import { listOutbox } from '../../storage/postgres/outbox';
import type { ChangeAlias, ChangedAlias } from '../../workflows/contract';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

const projectId = 'default';
const actor = 'ada';
const CALLERS = 16;
let db: TestDatabase;
let models = 0;

beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(async () => {
  await db.drop();
});

/** A new model with so many versions. */
async function modelWith(versions: number): Promise<string> {
  models += 1;
  const name = `model ${models}`;
  await createRegisteredModel(db, { projectId, name, actor });
  for (let i = 1; i <= versions; i += 1) await addVersion(name, `runs:/r${i}/model`);
  return name;
}
const addVersion = (model: string, source: string): ReturnType<typeof createModelVersion> =>
  createModelVersion(db, { projectId, model, source, actor });

/** An artifact without files; its id is the two digits repeated. */
async function artifact(digits: string): Promise<string> {
  const id = digits.repeat(32);
  await insertArtifact(db.postgres, { projectId, id, kind: 'model', manifest: [], sizeBytes: 0 });
  return id;
}

let keys = 0;
function change(model: string, wanted: Partial<ChangeAlias>): Promise<ChangedAlias> {
  keys += 1;
  const whole = { alias: 'champion', version: 1, actor, reason: 'why', idempotencyKey: `k${keys}` };
  return changeAlias(db, { projectId, model, change: { ...whole, ...wanted } });
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => 'it worked',
    (thrown: unknown) => thrown,
  );
  return isAppError(error) ? error.code : String(error);
}
const times = <T>(count: number, work: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => work(i)));

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
    const name = await modelWith(1);
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
    const model = await modelWith(0);
    const [made] = await Promise.all([
      times(CALLERS * 4, (i) => addVersion(model, `runs:/r${i}/model`)),
      times(CALLERS, () => codeOf(addVersion(model, 'file:///etc/passwd'))),
    ]);
    const numbers = made.map((version) => version.version).sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: CALLERS * 4 }, (_, i) => i + 1));
    expect((await getRegisteredModel(db, { projectId, name: model })).newestVersion).toBe(64);
  });

  it('takes no number for a repeated idempotency key', async () => {
    const model = await modelWith(0);
    const input = { projectId, model, source: 'runs:/r/m', actor, idempotencyKey: 'once' };
    const made = await times(CALLERS, () => createModelVersion(db, input));
    expect(new Set(made.map((version) => version.version))).toEqual(new Set([1]));
    expect((await addVersion(model, 'runs:/r/m')).version).toBe(2);
    const other = createModelVersion(db, { ...input, source: 'runs:/other/m' });
    expect(await codeOf(other)).toBe('CONFLICT');
  });

  it('keeps source, run, description and tags', async () => {
    const model = await modelWith(0);
    const id = await artifact('ab');
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
    expect(await codeOf(addVersion('no such model', 'runs:/r/m'))).toBe('NOT_FOUND');
    const unknown = `anneal:/artifacts/${'0'.repeat(64)}`;
    expect(await codeOf(addVersion(model, unknown))).toBe('NOT_FOUND');
  });

  it.each([
    'mlflow-artifacts:/0/r/artifacts/model', 'runs:/r/a..b/c', 'models:/m-1',
    'runs:/r/100%25', 'mlflow-artifacts://host:80/0/r',
  ])('takes the source %s', async (source) => {
    expect((await addVersion(await modelWith(0), source)).source).toBe(source);
  }); // prettier-ignore

  it.each([
    '', 'anneal:/artifacts/x', 'runs:/', '/etc/passwd', 'file:///etc/passwd', 's3://bucket/x', 'http://169.254.169.254/',
    'runs:/../x', 'runs:/r/..', 'mlflow-artifacts:/a/%2e%2e/b', 'mlflow-artifacts:/a/%252e%252e/b',
    'runs:/r/..;x', 'runs:/r\\..\\x', 'runs:/r/a\0b', 'runs:/r/%00', 'runs:/r/100%/%2e%2e', 'RUNS:/r/x',
    `runs:/${'x'.repeat(500)}`, `runs:/r/%${'25'.repeat(20)}2e`,
  ])('refuses the source %j', async (source) => {
    expect(await codeOf(addVersion('any', source))).toBe('INVALID_ARGUMENT');
  }); // prettier-ignore

  it('lists newest first, in pages, with aliases', async () => {
    const model = await modelWith(5);
    await change(model, { version: 4 });
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

describe('aliases', () => {
  it('have exactly one winner a round, of sixteen that expect the same version', async () => {
    const model = await modelWith(CALLERS * 2);
    let expectedVersion: number | null = null;
    for (let round = 1; round <= 20; round += 1) {
      const results = await times(
        CALLERS,
        (i) =>
        change(model, { version: (round % 2) * CALLERS + i + 1, expectedVersion }).catch((error: unknown) => codeOf(Promise.reject(error))), // prettier-ignore
      );
      const won = results.filter((result) => typeof result !== 'string');
      expect(won).toHaveLength(1);
      expect(results.filter((result) => result === 'CONFLICT')).toHaveLength(CALLERS - 1);
      expect(won[0]).toMatchObject({ previousVersion: expectedVersion, revision: round });
      expectedVersion = won[0]?.version ?? null;
    }
  });

  it('form one chain of changes, each with its history, audit and event', async () => {
    const model = await modelWith(CALLERS);
    await times(CALLERS, (i) => change(model, { version: i + 1 }));
    const history = (await listAliasHistory(db, { projectId, model })).reverse();
    expect(history.map((row) => row.revision)).toEqual(history.map((_, i) => i + 1));
    expect(history).toHaveLength(CALLERS);
    expect(history.map((row) => row.oldVersion)).toEqual([
      null,
      ...history.slice(0, -1).map((row) => row.newVersion),
    ]);
    const subject = `model/${model}`;
    const audit = await listAudit(db.postgres, { projectId, subject, limit: 100 });
    const moves = audit.filter((row) => row.action === 'model_alias.changed').reverse();
    expect(moves.map((row) => row.detail['to'])).toEqual(history.map((row) => row.newVersion));
    expect(moves[0]).toMatchObject({ actor, detail: { alias: 'champion', reason: 'why' } });
    const topic = 'model_alias.changed';
    const events = await listOutbox(db.postgres, { projectId, topic, limit: 10_000 });
    const mine = events.filter((event) => event.body['model'] === model);
    expect(mine.map((event) => event.body['to'])).toEqual(history.map((row) => row.newVersion));
  });

  it('show readers the old or the new version, never none', async () => {
    const model = await modelWith(2);
    await change(model, { version: 1 });
    let done = false;
    const writer = (async () => {
      for (let i = 0; i < 100; i += 1) await change(model, { version: (i % 2) + 1 });
      done = true;
    })();
    const seen = new Set<number | undefined>();
    while (!done) {
      const version = await findVersionByAlias(db, { projectId, model, alias: 'champion' });
      seen.add(version?.version);
    }
    await writer;
    expect([...seen].sort()).toEqual([1, 2]);
  });

  it('change once for a repeated key, also after others came between', async () => {
    const model = await modelWith(3);
    await change(model, { version: 1 });
    const again = { version: 2, expectedVersion: 1, idempotencyKey: 'again' };
    const first = await change(model, again);
    expect(first).toEqual({ alias: 'champion', version: 2, previousVersion: 1, revision: 2 });
    await change(model, { version: 3 });
    expect(await change(model, again)).toEqual(first);
    const replay = await change(model, { version: 2, idempotencyKey: 'again' });
    expect(replay).toEqual(first);
    expect((await findVersionByAlias(db, { projectId, model, alias: 'champion' }))?.version).toBe(
      3,
    );
    expect(await codeOf(change(model, { version: 1, idempotencyKey: 'again' }))).toBe('CONFLICT');
    expect(await listAliasHistory(db, { projectId, model })).toHaveLength(3);
  });

  it('can be removed and set again; the revision goes on', async () => {
    const model = await modelWith(2);
    const nothing = { alias: 'champion', version: null, previousVersion: null, revision: 0 };
    expect(await change(model, { version: null })).toEqual(nothing);
    await change(model, { version: 1 });
    expect(await codeOf(change(model, { version: null, expectedVersion: 2 }))).toBe('CONFLICT');
    expect(await change(model, { version: null, expectedVersion: 1 })).toMatchObject({
      version: null, previousVersion: 1, revision: 2,
    }); // prettier-ignore
    expect(await findVersionByAlias(db, { projectId, model, alias: 'champion' })).toBeUndefined();
    expect((await getRegisteredModel(db, { projectId, name: model })).aliases).toEqual([]);
    expect(await change(model, { version: null })).toEqual(nothing);
    expect(await codeOf(change(model, { version: 2, expectedVersion: 1 }))).toBe('CONFLICT');
    expect(await change(model, { version: 2, expectedVersion: null })).toMatchObject({
      revision: 3,
    });
    expect(await listAliasHistory(db, { projectId, model })).toHaveLength(3);
  });

  it('resolve, latest included', async () => {
    const model = await modelWith(2);
    const latest = { projectId, model, alias: 'latest' };
    expect((await findVersionByAlias(db, latest))?.version).toBe(2);
    expect(await findVersionByAlias(db, { ...latest, model: await modelWith(0) })).toBeUndefined();
  });

  it('need a model and a version that exist, and a name that may be', async () => {
    const model = await modelWith(1);
    expect(await codeOf(change(model, { version: 2 }))).toBe('NOT_FOUND');
    expect(await codeOf(change('no such model', { version: 1 }))).toBe('NOT_FOUND');
    expect(await codeOf(change('no such model', { version: null }))).toBe('NOT_FOUND');
    for (const alias of ['', 'latest', 'Latest', 'v1', 'V12', 'a b', 'a/b', 'é', 'x'.repeat(256)]) {
      expect(await codeOf(change(model, { alias }))).toBe('INVALID_ARGUMENT');
    }
    for (const version of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
      expect(await codeOf(change(model, { version }))).toBe('INVALID_ARGUMENT');
    }
    expect(await listAliasHistory(db, { projectId, model })).toEqual([]);
  });
});

describe('registerModel', () => {
  it('makes the model, one version for a key, and moves the alias', async () => {
    const deps = {
      postgres: db.postgres,
      changeAlias: (project: string, model: string, wanted: ChangeAlias) =>
        changeAlias(db, { projectId: project, model, change: wanted }),
    };
    const model = 'registered';
    const artifactId = await artifact('cd');
    const input = {
      projectId, model, artifactId, runId: 'run1', alias: 'candidate', actor, idempotencyKey: 'k',
    }; // prettier-ignore
    expect(await times(4, () => registerModel(deps, input))).toEqual(Array(4).fill({ version: 1 }));
    expect(await registerModel(deps, { ...input, idempotencyKey: 'l' })).toEqual({ version: 2 });
    expect(await registerModel(deps, input)).toEqual({ version: 1 });
    expect(await getRegisteredModel(db, { projectId, name: model })).toMatchObject({
      newestVersion: 2,
      aliases: [{ alias: 'candidate', version: 2 }],
    });
    expect(await getModelVersion(db, { projectId, model, version: 2 })).toMatchObject({
      artifactId, runId: 'run1', aliases: ['candidate'],
    }); // prettier-ignore
  });
});
