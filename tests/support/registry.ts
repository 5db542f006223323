import { createHash } from 'node:crypto';
import { isAppError } from '../../errors/app-error';
import { changeAlias } from '../../registry/model-aliases';
import { createModelVersion } from '../../registry/model-versions';
import { createRegisteredModel } from '../../registry/registered-models';
import type { ManifestEntry } from '../../schemas/artifacts';
import type { ModelVersion } from '../../schemas/model-versions';
import { upsertArtifactFiles } from '../../storage/postgres/artifact-files';
import { insertArtifact } from '../../storage/postgres/artifacts';
import type { Postgres } from '../../storage/postgres/client';
import { insertObjects } from '../../storage/postgres/objects';
import { insertRun } from '../../storage/postgres/runs';
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
  /** An artifact of one file; its id is the two digits repeated. */
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
      const source = `anneal:/artifacts/${await lab.artifact('aa')}`;
      for (let i = 1; i <= versions; i += 1) await lab.addVersion(name, source);
      return name;
    },
    addVersion: (model, source) => createModelVersion(db, { projectId, model, source, actor }),
    async artifact(digits) {
      return putArtifact(db.postgres, digits);
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

/** An artifact of one file, model.bin; ids and digest are the two digits repeated. */
export async function putArtifact(postgres: Postgres, digits: string): Promise<string> {
  const id = digits.repeat(32);
  const manifest = [{ path: 'model.bin', digest: id, sizeBytes: 3 }];
  await insertObjects(postgres, { projectId, objects: manifest });
  await insertArtifact(postgres, { projectId, id, kind: 'model', manifest, sizeBytes: 3 });
  return id;
}

/** A run of the first experiment. */
export async function putRun(postgres: Postgres, id: string): Promise<void> {
  const artifactUri = `mlflow-artifacts:/0/${id}/artifacts`;
  const about = { experimentId: 0, name: id, userId: '', startedMs: 1, artifactUri };
  await insertRun(postgres, { projectId, id, ...about });
}

/** Writes files into a folder, over what is there: each of one byte with the digits' digest. */
export async function putFiles(
  postgres: Postgres,
  folder: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const rows = Object.entries(files).map(([name, digits]) => ({
    ...{ path: `${folder}/${name}`, digest: digits.repeat(32), sizeBytes: 1 },
  }));
  await insertObjects(postgres, { projectId, objects: rows });
  await upsertArtifactFiles(postgres, { projectId, files: rows });
}

/** The id of an artifact by its definition: SHA-256 of the manifest, keys and paths in order. */
export function idOf(manifest: readonly ManifestEntry[]): string {
  const sorted = manifest.map(({ path, digest, sizeBytes }) => ({ digest, path, sizeBytes }));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
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
