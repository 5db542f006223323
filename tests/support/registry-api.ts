import { createApp } from '../../api/app';
import { USER_PERMISSIONS } from '../../api/auth/permissions';
import { registerMlflowModelVersions } from '../../api/routes/mlflow/model-versions';
import { registerMlflowRegisteredModels } from '../../api/routes/mlflow/registered-models';
import { registerModels } from '../../api/routes/v1/models';
import { changeAlias } from '../../registry/model-aliases';
import type { ChangeAlias } from '../../workflows/contract';
import { callHttp, type HttpReply } from './http';
import { putFiles, putRun } from './registry';
import { createTestDatabase, type TestDatabase } from './postgres';

const projectId = 'default';

/** The registry's routes on a real socket; alias changes go straight to the rule. */
export interface RegistryApi extends TestDatabase {
  send(method: string, path: string, body?: unknown): Promise<HttpReply>;
  /** The same below /api/2.0/mlflow/. */
  mlflow(method: string, path: string, body?: unknown): Promise<HttpReply>;
  /** A new model with so many versions of run1, made over the wire. */
  modelWith(versions: number): Promise<string>;
  /** The models whose aliases were asked to change, in order. */
  readonly submitted: readonly string[];
}

/** Serves the registry to the local user 'ada'; `drop` it at the end. */
export async function createRegistryApi(): Promise<RegistryApi> {
  const db = await createTestDatabase();
  await putRun(db.postgres, 'run1');
  const submitted: string[] = [];
  const deps = {
    postgres: db.postgres,
    changeAlias: (project: string, model: string, change: ChangeAlias) => {
      submitted.push(model);
      return changeAlias(db, { projectId: project, model, change });
    },
  };
  const app = await createApp({
    authenticate: () =>
      Promise.resolve({ kind: 'local', name: 'ada', projectId, permissions: USER_PERMISSIONS }),
    routes: (routes) => {
      registerMlflowRegisteredModels(routes, deps);
      registerMlflowModelVersions(routes, deps);
      registerModels(routes, deps);
    },
  });
  const base = await app.listen({ host: '127.0.0.1', port: 0 });
  let models = 0;
  const api: RegistryApi = {
    ...db,
    submitted,
    send(method, path, body) {
      const headers = { 'content-type': 'application/json' };
      if (body === undefined) return callHttp(base + path, { method });
      return callHttp(base + path, { method, headers, body: JSON.stringify(body) });
    },
    mlflow: (method, path, body) => api.send(method, `/api/2.0/mlflow/${path}`, body),
    async modelWith(versions) {
      models += 1;
      const name = `wire ${models}`;
      await api.mlflow('POST', 'registered-models/create', { name });
      for (let i = 1; i <= versions; i += 1) {
        const source = `mlflow-artifacts:/0/run1/artifacts/m${i}`;
        await putFiles(db.postgres, `0/run1/artifacts/m${i}`, { MLmodel: 'aa' });
        await api.mlflow('POST', 'model-versions/create', { name, source, run_id: 'run1' });
      }
      return name;
    },
    async drop() {
      await app.close();
      await db.drop();
    },
  };
  return api;
}

/** A query string. */
export function query(values: Record<string, string>): string {
  return new URLSearchParams(values).toString();
}
