import { buildSync } from 'esbuild';
import type { FastifyInstance } from 'fastify';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createApp } from '../../api/app';
import { createAuthenticate } from '../../api/auth/authenticate';
import { createToken } from '../../api/auth/tokens';
import { openParts, type Parts } from '../../api/parts';
import { registerRoutes } from '../../api/routes';
import { parseConfig } from '../../config/config';
import { beginPipelineRun } from '../../pipelines/pipeline-runs';
import type { ExecuteStepInput } from '../../schemas/attempts';
import type { Attempt } from '../../schemas/pipeline-runs';
import type { Params, Plan, StepSpec } from '../../schemas/plan';
import { packCode, uploadCode } from '../../sdk/code-bundle';
import { createHttp, type Http } from '../../sdk/http';
import type { NodeContext, StepOutcome, StepSignals } from '../../steps/attempt';
import { executeStep } from '../../steps/execute-step';
import { insertToken } from '../../storage/postgres/tokens';
import { plan, step } from './plans';
import { createTestDatabase, type TestDatabase } from './postgres';

const ROOT = join(__dirname, '../..');

/** The whole api on a port of its own, and a node that may call it. */
export interface StepLab {
  readonly db: TestDatabase;
  readonly parts: Parts;
  readonly folder: string;
  readonly node: NodeContext;
  /** Calls as a local user. */
  readonly user: Http;
  /** Begins a run of a plan as the workflow does; `files` are its code. */
  begin(
    plan: Plan,
    given?: { readonly params?: Params; readonly files?: Readonly<Record<string, string>> },
  ): Promise<{ readonly runId: string }>;
  /** All lines of a run's log, `stream: text`. */
  logs(runId: string): Promise<string[]>;
  attempts(runId: string): Promise<Attempt[]>;
  /** Stops the api or starts it again on the same port. */
  stopApi(): Promise<void>;
  startApi(): Promise<void>;
  close(): Promise<void>;
}

export async function openStepLab(): Promise<StepLab> {
  const db = await createTestDatabase();
  const folder = mkdtempSync(join(tmpdir(), 'anneal-steps-'));
  const nodeToken = createToken('node');
  const { hash } = nodeToken;
  const row = { projectId: 'default', kind: 'node', name: 'n1', permissions: [], hash } as const;
  await insertToken(db.postgres, row);
  const port = await freePort();
  const config = parseConfig({
    DATABASE_URL: db.url,
    ANNEAL_API: `http://127.0.0.1:${port}`,
    ANNEAL_PORT: String(port),
    ANNEAL_AUTH: 'open',
    ANNEAL_DATA_DIR: join(folder, 'data'),
    ANNEAL_SIGNING_KEY: 's'.repeat(32),
    TEMPORAL_ADDRESS: '127.0.0.1:1', // nobody listens there
  });
  const parts = await openParts(config);
  const api = `http://127.0.0.1:${port}`;
  const user = createHttp({ baseUrl: api });
  let app: FastifyInstance;
  const startApi = async (): Promise<void> => {
    app = await createApp({
      authenticate: createAuthenticate({ postgres: parts.postgres, config }),
      routes: (routes) => {
        registerRoutes(routes, parts);
      },
    });
    await app.listen({ host: '127.0.0.1', port });
  };
  await startApi();
  const stopApi = async (): Promise<void> => {
    app.server.closeAllConnections();
    await app.close();
  };
  return {
    db,
    parts,
    folder,
    user,
    node: {
      name: 'n1',
      api,
      token: nodeToken.text,
      folder: join(folder, 'node'),
      runner: buildRunner(folder),
    },
    async begin(plan, { params = {}, files } = {}) {
      const runId = crypto.randomUUID();
      const codeDigest = files === undefined ? undefined : await upload(user, { folder, files });
      const code = codeDigest === undefined ? {} : { codeDigest };
      await beginPipelineRun(parts, { projectId: 'default', runId, plan, params, ...code });
      return { runId };
    },
    async logs(runId) {
      type Page = { readonly lines: { readonly stream: string; readonly text: string }[] };
      const { lines } = await user.get<Page>(`/api/v1/pipeline-runs/${runId}/logs`);
      return lines.map(({ stream, text }) => `${stream}: ${text}`);
    },
    async attempts(runId) {
      const path = `/api/v1/pipeline-runs/${runId}/attempts`;
      return (await user.get<{ attempts: Attempt[] }>(path)).attempts;
    },
    stopApi,
    startApi,
    async close() {
      await stopApi();
      await parts.close();
      await db.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function upload(
  user: Http,
  code: { readonly folder: string; readonly files: Readonly<Record<string, string>> },
): Promise<string> {
  const project = mkdtempSync(join(code.folder, 'project-'));
  for (const [name, text] of Object.entries(code.files)) {
    mkdirSync(dirname(join(project, name)), { recursive: true });
    writeFileSync(join(project, name), text);
  }
  const packed = await packCode(project);
  await uploadCode(user, packed);
  return packed.digest;
}

/** steps/runner.ts as the build would leave it, beside the packages that it needs. */
function buildRunner(folder: string): string {
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const outfile = join(folder, 'runner.js');
  buildSync({
    entryPoints: [join(ROOT, 'steps/runner.ts')],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'cjs',
    outfile,
  });
  return outfile;
}

/** Signals of a step that nobody stops. */
const NEVER: StepSignals = { heartbeat: () => undefined, stop: new Promise(() => undefined) };

/** A plan of one step `train`: a shell script. */
export function shell(script: string, extra: Partial<StepSpec> = {}): Plan {
  return plan([step('train', { argv: ['sh', '-c', script], ...extra })]);
}

/** Adds to the stored spec of `train` what a worker takes care of. */
export async function extendStep(lab: StepLab, runId: string, extra: object): Promise<void> {
  const values = [runId, JSON.stringify(extra)];
  await lab.db.postgres.query('UPDATE steps SET spec = spec || $2 WHERE run_id = $1', values);
}

/** Carries out an attempt of `train`, the first unless told. */
export function runStep(
  lab: StepLab,
  runId: string,
  given: Partial<ExecuteStepInput & StepSignals> = {},
): Promise<StepOutcome> {
  const { stop = NEVER.stop, heartbeat = NEVER.heartbeat, ...extra } = given;
  const input = {
    projectId: 'default',
    runId,
    stepKey: 'train',
    attempt: 1,
    readyAtMs: Date.now(),
    timeoutSeconds: 60,
    graceSeconds: 10,
    ...extra,
  };
  return executeStep(lab.node, input, { heartbeat, stop });
}

/** The artifact id of an output. */
export function artifactOf(outcome: StepOutcome, name: string): string {
  if (outcome.kind !== 'succeeded') throw new Error(JSON.stringify(outcome));
  const output = outcome.result.outputs[name];
  if (output === undefined || !('artifact' in output)) throw new Error(`no artifact ${name}`);
  return output.artifact;
}

/** Waits at most 20 s. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i += 1) {
    if (await condition()) return;
    await sleep(50);
  }
  throw new Error('it did not happen within 20 s');
}
