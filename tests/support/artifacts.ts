import type { FastifyInstance } from 'fastify';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp } from '../../api/app';
import { USER_PERMISSIONS } from '../../api/auth/permissions';
import { registerMlflowArtifacts } from '../../api/routes/mlflow/artifacts';
import { registerArtifacts } from '../../api/routes/v1/artifacts';
import { registerObjects } from '../../api/routes/v1/objects';
import type { UploadPlan } from '../../schemas/artifacts';
import type { Principal } from '../../schemas/tokens';
import { openDirectoryStore } from '../../storage/objects/directory';
import { createExperiment } from '../../tracker/experiments';
import { createRun } from '../../tracker/runs';
import { callHttp, type HttpCall, type HttpReply } from './http';
import { createTestDatabase, type TestDatabase } from './postgres';

/** An api with artifact routes over a real Postgres and a directory. */
export interface ArtifactLab {
  readonly db: TestDatabase;
  readonly base: string;
  readonly root: string;
  /** Calls as a user of the project `default`, or of the project or attempt in the headers. */
  call(method: string, path: string, call?: HttpCall): Promise<HttpReply>;
  close(): Promise<void>;
}
/** One file of a manifest. */
export interface TestFile {
  readonly path: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
export function fileOf(path: string, bytes: Buffer | string): TestFile {
  return { path, digest: sha256(bytes), sizeBytes: Buffer.byteLength(bytes) };
}

/** The caller: `x-project` names the project, `x-attempt` the attempt (of step `s` of run `r`). */
function callerOf(headers: Readonly<Record<string, unknown>>): Principal {
  const projectId = typeof headers['x-project'] === 'string' ? headers['x-project'] : 'default';
  const user = { name: 'ada', projectId, permissions: USER_PERMISSIONS };
  const attempt = Number(headers['x-attempt'] ?? 0);
  if (attempt === 0) return { ...user, kind: 'user' };
  return { ...user, kind: 'attempt', attempt: { runId: 'r', stepKey: 's', attempt } };
}

export async function startArtifactLab(): Promise<ArtifactLab> {
  const db = await createTestDatabase();
  await db.postgres.query(`INSERT INTO projects (id, name) VALUES ('other', 'Other')`);
  const root = mkdtempSync(join(tmpdir(), 'anneal-artifacts-'));
  let baseUrl = '';
  const objects = openDirectoryStore({
    root,
    signingKey: 's'.repeat(32),
    get baseUrl() {
      return baseUrl;
    },
  });
  const deps = { postgres: db.postgres, objects };
  const app: FastifyInstance = await createApp({
    authenticate: (request) => Promise.resolve(callerOf(request.headers)),
    routes: (it) => {
      registerObjects(it, deps);
      registerArtifacts(it, deps);
      registerMlflowArtifacts(it, deps);
    },
  });
  const base = await app.listen({ host: '127.0.0.1', port: 0 });
  baseUrl = base;
  return {
    db,
    base,
    root,
    call: (method, path, call) => callHttp(base, { ...call, method, path }),
    async close() {
      await app.close();
      rmSync(root, { recursive: true });
      await db.drop();
    },
  };
}

/** A new run of a new experiment, and where its artifacts lie. */
export async function newRun(
  { db }: Pick<ArtifactLab, 'db'>,
  projectId: string,
): Promise<{ readonly runId: string; readonly experimentId: number; readonly folder: string }> {
  const name = `experiment ${crypto.randomUUID()}`;
  const { id: experimentId } = await createExperiment(db, { projectId, name, tags: [] });
  const principal = callerOf({ 'x-project': projectId });
  const given = { name: undefined, userId: 'ada', startedMs: 1, tags: [] };
  const { run } = await createRun(db, { principal, experimentId, ...given });
  return { runId: run.id, experimentId, folder: `${experimentId}/${run.id}/artifacts` };
}

type Headers = Readonly<Record<string, string>>;

/** POST with a JSON body. */
export function postJson(
  lab: ArtifactLab,
  path: string,
  call: { readonly body: unknown; readonly headers?: Headers | undefined },
): Promise<HttpReply> {
  const headers = { 'content-type': 'application/json', ...call.headers };
  return lab.call('POST', path, { headers, body: JSON.stringify(call.body) });
}

/** Which of these files' bytes are missing, and where they go. */
export async function planUploads(
  lab: ArtifactLab,
  files: readonly TestFile[],
  headers?: Headers,
): Promise<UploadPlan['uploads']> {
  const objects = files.map(({ digest, sizeBytes }) => ({ digest, sizeBytes }));
  const reply = await postJson(lab, '/api/v1/objects/plan', { body: { objects }, headers });
  return reply.json<UploadPlan>().uploads;
}

export function commitFiles(
  lab: ArtifactLab,
  manifest: readonly TestFile[],
  headers?: Headers,
): Promise<HttpReply> {
  const body = { kind: 'model', manifest };
  return postJson(lab, '/api/v1/artifacts', { body, headers });
}

/** Uploads the texts that are missing, as objects of the project `default`. */
export async function uploadTexts(lab: ArtifactLab, texts: readonly string[]): Promise<void> {
  for (const { digest, url, headers } of await planUploads(
    lab,
    texts.map((t) => fileOf('-', t)),
  )) {
    const body = texts.find((text) => sha256(text) === digest) ?? '';
    const { status } = await fetch(url, { method: 'PUT', headers, body });
    if (status !== 200) throw new Error(`the upload was refused with ${status}`);
  }
}
