import { changeAlias, findVersionByAlias, listAliasHistory } from '../../registry/model-aliases';
import { getModelVersion } from '../../registry/model-versions';
import { registerModel } from '../../registry/register';
import { getRegisteredModel } from '../../registry/registered-models';
import { listAudit } from '../../storage/postgres/audit';
import { listOutbox } from '../../storage/postgres/outbox';
import type { ChangeAlias, ChangedAlias } from '../../workflows/contract';
import {
  actor,
  CALLERS,
  codeOf,
  createRegistryLab,
  projectId,
  times,
  type RegistryLab,
} from '../support/registry';

let db: RegistryLab;

beforeAll(async () => {
  db = await createRegistryLab();
});
afterAll(async () => {
  await db.drop();
});

describe('aliases', () => {
  it('have exactly one winner a round, of sixteen that expect the same version', async () => {
    const model = await db.modelWith(CALLERS * 2);
    let expectedVersion: number | null = null;
    for (let round = 1; round <= 20; round += 1) {
      const wins: ChangedAlias[] = [];
      const codes = await times(CALLERS, (i) => {
        const version = (round % 2) * CALLERS + i + 1;
        const wanted = db.change(model, { version, expectedVersion });
        return codeOf(wanted.then((changed) => wins.push(changed)));
      });
      expect(wins).toHaveLength(1);
      expect(codes.filter((code) => code === 'CONFLICT')).toHaveLength(CALLERS - 1);
      expect(wins[0]).toMatchObject({ previousVersion: expectedVersion, revision: round });
      expectedVersion = wins[0]?.version ?? null;
    }
  });

  it('form one chain of changes, each with its history, audit and event', async () => {
    const model = await db.modelWith(CALLERS);
    await times(CALLERS, (i) => db.change(model, { version: i + 1 }));
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
    const model = await db.modelWith(2);
    await db.change(model, { version: 1 });
    let done = false;
    const writer = (async () => {
      for (let i = 0; i < 100; i += 1) await db.change(model, { version: (i % 2) + 1 });
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
    const model = await db.modelWith(3);
    await db.change(model, { version: 1 });
    const again = { version: 2, expectedVersion: 1, idempotencyKey: 'again' };
    const first = await db.change(model, again);
    expect(first).toEqual({ alias: 'champion', version: 2, previousVersion: 1, revision: 2 });
    await db.change(model, { version: 3 });
    expect(await db.change(model, again)).toEqual(first);
    const replay = await db.change(model, { version: 2, idempotencyKey: 'again' });
    expect(replay).toEqual(first);
    expect((await findVersionByAlias(db, { projectId, model, alias: 'champion' }))?.version).toBe(
      3,
    );
    expect(await codeOf(db.change(model, { version: 1, idempotencyKey: 'again' }))).toBe(
      'CONFLICT',
    );
    expect(await listAliasHistory(db, { projectId, model })).toHaveLength(3);
  });

  it('can be removed and set again; the revision goes on', async () => {
    const model = await db.modelWith(2);
    const nothing = { alias: 'champion', version: null, previousVersion: null, revision: 0 };
    expect(await db.change(model, { version: null })).toEqual(nothing);
    await db.change(model, { version: 1 });
    expect(await codeOf(db.change(model, { version: null, expectedVersion: 2 }))).toBe('CONFLICT');
    expect(await db.change(model, { version: null, expectedVersion: 1 })).toMatchObject({
      version: null, previousVersion: 1, revision: 2,
    }); // prettier-ignore
    expect(await findVersionByAlias(db, { projectId, model, alias: 'champion' })).toBeUndefined();
    expect((await getRegisteredModel(db, { projectId, name: model })).aliases).toEqual([]);
    expect(await db.change(model, { version: null })).toEqual(nothing);
    expect(await codeOf(db.change(model, { version: 2, expectedVersion: 1 }))).toBe('CONFLICT');
    expect(await db.change(model, { version: 2, expectedVersion: null })).toMatchObject({
      revision: 3,
    });
    expect(await listAliasHistory(db, { projectId, model })).toHaveLength(3);
  });

  it('resolve, latest included', async () => {
    const model = await db.modelWith(2);
    const latest = { projectId, model, alias: 'latest' };
    expect((await findVersionByAlias(db, latest))?.version).toBe(2);
    expect(
      await findVersionByAlias(db, { ...latest, model: await db.modelWith(0) }),
    ).toBeUndefined();
  });

  it('need a model and a version that exist, and a name that may be', async () => {
    const model = await db.modelWith(1);
    expect(await codeOf(db.change(model, { version: 2 }))).toBe('NOT_FOUND');
    expect(await codeOf(db.change('no such model', { version: 1 }))).toBe('NOT_FOUND');
    expect(await codeOf(db.change('no such model', { version: null }))).toBe('NOT_FOUND');
    for (const alias of ['', 'latest', 'Latest', 'v1', 'V12', 'a b', 'a/b', 'é', 'x'.repeat(256)]) {
      expect(await codeOf(db.change(model, { alias }))).toBe('INVALID_ARGUMENT');
    }
    for (const version of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
      expect(await codeOf(db.change(model, { version }))).toBe('INVALID_ARGUMENT');
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
    const artifactId = await db.artifact('cd');
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
