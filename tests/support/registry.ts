import { isAppError } from '../../errors/app-error';
import { changeAlias } from '../../registry/model-aliases';
import { createModelVersion } from '../../registry/model-versions';
import { createRegisteredModel } from '../../registry/registered-models';
import type { ModelVersion } from '../../schemas/model-versions';
import { insertArtifact } from '../../storage/postgres/artifacts';
import type { ChangeAlias, ChangedAlias } from '../../workflows/contract';
import { createTestDatabase, type TestDatabase } from './postgres';

export const projectId = 'default';
export const actor = 'ada';
/** As many as compete for one row in the tests of the registry. */
export const CALLERS = 16;

/** A registry of one test file's own, with short ways to fill it. */
export interface RegistryLab extends TestDatabase {
  /** A new model with so many versions. */
  modelWith(versions: number): Promise<string>;
  addVersion(model: string, source: string): Promise<ModelVersion>;
  /** An artifact without files; its id is the two digits repeated. */
  artifact(digits: string): Promise<string>;
  /** Changes an alias: champion to version 1 under a new key, unless told otherwise. */
  change(model: string, wanted: Partial<ChangeAlias>): Promise<ChangedAlias>;
}

/** Makes the registry; `drop` it at the end. */
export async function createRegistryLab(): Promise<RegistryLab> {
  const db = await createTestDatabase();
  let models = 0;
  let keys = 0;
  const lab: RegistryLab = {
    ...db,
    async modelWith(versions) {
      models += 1;
      const name = `model ${models}`;
      await createRegisteredModel(db, { projectId, name, actor });
      for (let i = 1; i <= versions; i += 1) await lab.addVersion(name, `runs:/r${i}/model`);
      return name;
    },
    addVersion: (model, source) => createModelVersion(db, { projectId, model, source, actor }),
    async artifact(digits) {
      const id = digits.repeat(32);
      const empty = { projectId, id, kind: 'model', manifest: [], sizeBytes: 0 };
      await insertArtifact(db.postgres, empty);
      return id;
    },
    change(model, wanted) {
      keys += 1;
      const key = `k${keys}`;
      const whole = { alias: 'champion', version: 1, actor, reason: 'why', idempotencyKey: key };
      return changeAlias(db, { projectId, model, change: { ...whole, ...wanted } });
    },
  };
  return lab;
}

/** The code with which something fails, or 'it worked'. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => 'it worked',
    (thrown: unknown) => thrown,
  );
  return isAppError(error) ? error.code : String(error);
}

/** Does something so many times at once. */
export function times<T>(count: number, work: (i: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => work(i)));
}
