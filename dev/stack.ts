import { existsSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { environment } from '../config/config';
import { pickStepSecrets } from '../config/secrets';
import { AppError } from '../errors/app-error';
import type { ChildSpec } from './child';
import { preparePostgres } from './postgres';
import { answersAt, pickEnvironment, saysReady, spawnOurs, spawnProgram } from './programs';
import type { DevSettings } from './settings';
import { findTool } from './tools';

/** The processes of the embedded stack. */
export type PartName = 'postgres' | 'temporal' | 'api' | 'control' | 'step';
/** A part that the environment places elsewhere (DATABASE_URL, TEMPORAL_ADDRESS) has no process. */
export type Stack = Readonly<Partial<Record<PartName, ChildSpec>>>;

/** Enough to find programs and a home; secrets of our shell stay in it. */
const EVERYONE = ['PATH', 'HOME', 'USER', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'NODE_EXTRA_CA_CERTS'];
const OF_TEMPORAL = [
  'TEMPORAL_NAMESPACE',
  'TEMPORAL_API_KEY',
  'ANNEAL_WORKER_DEPLOYMENT',
  'ANNEAL_BUILD_ID',
];
const OF_STORES = ['CLICKHOUSE_URL', 'S3_BUCKET', 'S3_ENDPOINT', 'S3_REGION'];
const OF_STORES_SECRET = ['S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'];
/** Of the control worker, which sends messages to the outside. */
const OF_CONTROL = ['ANNEAL_NOTIFY_URL', 'ANNEAL_NOTIFY_HOSTS'];
const OF_API = ['ANNEAL_DURABILITY', 'ANNEAL_LOG_LEVEL', 'UV_THREADPOOL_SIZE'];
/** Of the api: syncs of the log, hashes and files share these threads, and four of them queue. */
const THREADS = { UV_THREADPOOL_SIZE: '8' };
/** The step worker runs other people's code: where it finds its tools, never database or bucket. */
const OF_STEPS = [
  'ANNEAL_NODE',
  'ANNEAL_CODE_CACHE_MIB',
  'ANNEAL_POOLS',
  'ANNEAL_SLOTS',
  'ANNEAL_STEP_USER',
  'ANNEAL_LOG_LEVEL',
  'VIRTUAL_ENV',
];
const OF_STEP_TOOLS = [
  'LD_LIBRARY_PATH',
  'CUDA_VISIBLE_DEVICES',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
];

/** A killed Postgres leaves processes that hold its data for a moment. */
const POSTGRES_RETRY_MS = 15_000;

/** The processes of one stack; a failed start of a part names its log. */
export function describeStack(settings: DevSettings): Stack {
  mkdirSync(logFolder(settings), { recursive: true });
  const { external } = settings;
  const database: Database = { url: external.databaseUrl ?? '' };
  return {
    ...(external.databaseUrl === undefined && { postgres: postgresSpec(settings, database) }),
    ...(external.temporalAddress === undefined && { temporal: temporalSpec(settings) }),
    ...nodeSpecs(settings, database),
  };
}

/** Where a part writes its log. */
export function logFile(settings: DevSettings, name: string): string {
  return join(logFolder(settings), `${name}.log`);
}

/** The address under which workers and the api reach Temporal. */
export function temporalAddress({ external, ports }: DevSettings): string {
  return external.temporalAddress ?? `127.0.0.1:${ports.temporal}`;
}

/** Temporal's web UI; a server elsewhere may have none that we know of. */
export function temporalUi({ external, ports }: DevSettings): string | undefined {
  if (external.temporalAddress === undefined) {
    return `http://${ports.temporalUiHost}:${ports.temporalUi}`;
  }
  return pickEnvironment(['TEMPORAL_UI_URL'])['TEMPORAL_UI_URL'];
}

interface Database {
  url: string; // known once the embedded server is prepared
}

function logFolder(settings: DevSettings): string {
  return join(settings.dataDir, 'logs');
}

function openLog(settings: DevSettings, name: string): number {
  return openSync(logFile(settings, name), 'a');
}

function postgresSpec(settings: DevSettings, database: Database): ChildSpec {
  const log = openLog(settings, 'postgres');
  const dataDir = join(settings.dataDir, 'postgres');
  const prepared = lazily(() => preparePostgres({ dataDir, port: settings.ports.postgres }));
  return {
    name: 'postgres',
    stopSignal: 'SIGINT', // the fast shutdown
    retryFirstMs: POSTGRES_RETRY_MS,
    start: async () => {
      const server = await prepared();
      database.url = server.url;
      return server.launch(log);
    },
    ready: async (_, signal) => (await prepared()).ready(signal),
  };
}

function temporalSpec(settings: DevSettings): ChildSpec {
  const log = openLog(settings, 'temporal');
  const command = temporalCommand(settings);
  // through the UI's front, which asks the server: both are up, and the namespace exists
  const url = `${temporalUi(settings) ?? ''}/api/v1/namespaces/default`;
  return {
    name: 'temporal',
    stopSignal: 'SIGTERM',
    retryFirstMs: 0,
    start: () => spawnProgram({ command, env: pickEnvironment(EVERYONE), log }),
    ready: (_, signal) => answersAt(url, signal),
  };
}

/** The settings that were measured to matter on two cores: write-ahead log, eager activities. */
function temporalCommand({ dataDir, ports }: DevSettings): string[] {
  const dynamic = [
    'system.enableActivityEagerExecution=true',
    'matching.numTaskqueueReadPartitions=1',
    'matching.numTaskqueueWritePartitions=1',
    // its HTTP api asks neither who calls nor from which page, and nobody here uses it
    'frontend.httpAllowedHosts=["nobody.invalid"]',
  ];
  return [
    ...[findTool('temporal'), 'server', 'start-dev', '--ip', '127.0.0.1', '--log-level', 'error'],
    ...['--port', String(ports.temporal), '--ui-port', String(ports.temporalUi)],
    ...['--ui-ip', ports.temporalUiHost, '--http-port', String(ports.temporalHttp)],
    ...['--db-filename', join(dataDir, 'temporal.db')],
    ...['--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=NORMAL'],
    ...dynamic.flatMap((setting) => ['--dynamic-config-value', setting]),
  ];
}

function nodeSpecs(
  settings: DevSettings,
  database: Database,
): Record<'api' | 'control' | 'step', ChildSpec> {
  const { dataDir, ports, secrets } = settings;
  const api = `http://127.0.0.1:${ports.api}`;
  const shared = {
    ...pickEnvironment([...EVERYONE, ...OF_TEMPORAL]),
    ANNEAL_API: api,
    TEMPORAL_ADDRESS: temporalAddress(settings),
  };
  const stores = pickEnvironment([...OF_STORES, ...OF_STORES_SECRET]);
  const signing = { ANNEAL_SIGNING_KEY: secrets.signingKey };
  return {
    api: {
      ...nodeSpec(settings, 'api', {
        entry: 'api/main.js',
        env: () => ({
          ...shared,
          ...stores,
          ...signing,
          ...THREADS,
          ...pickEnvironment(OF_API),
          DATABASE_URL: database.url,
          TEMPORAL_UI_URL: temporalUi(settings) ?? '',
          ANNEAL_HOST: '127.0.0.1',
          ANNEAL_PORT: String(ports.api),
          ANNEAL_AUTH: 'open', // it listens on loopback only
          ANNEAL_NODE_TOKEN: secrets.nodeToken,
          ANNEAL_DATA_DIR: join(dataDir, 'api'),
        }),
      }),
      ready: (_, signal) => answersAt(`${api}/health`, signal),
    },
    control: nodeSpec(settings, 'control', {
      entry: 'workers/control.js',
      before: 'workers/workflow-thread.js',
      env: () => ({
        ...shared,
        ...stores,
        ...signing,
        ...pickEnvironment(OF_CONTROL),
        DATABASE_URL: database.url,
        ANNEAL_DATA_DIR: join(dataDir, 'api'), // it reads the pipelines that steps have written
      }),
    }),
    step: nodeSpec(settings, 'step', {
      entry: 'workers/step.js',
      env: () => ({
        ...shared,
        ...pickEnvironment([...OF_STEPS, ...OF_STEP_TOOLS]),
        ...pickStepSecrets(environment()),
        ANNEAL_NODE_TOKEN: secrets.nodeToken,
        ANNEAL_DATA_DIR: join(dataDir, 'node'),
      }),
    }),
  };
}

interface NodeProgram {
  readonly entry: string; // below dist/
  readonly before?: string; // loaded first, also by each of its threads
  readonly env: () => Record<string, string>;
}

function nodeSpec(settings: DevSettings, name: PartName, program: NodeProgram): ChildSpec {
  const log = openLog(settings, name);
  const [script = '', ...before] = [program.entry, program.before]
    .filter((file) => file !== undefined)
    .map((file) => join(__dirname, '..', file));
  return {
    name,
    stopSignal: 'SIGTERM',
    retryFirstMs: 0,
    start: () => {
      if (!existsSync(script)) {
        throw new AppError('CONFIG_INVALID', `dist/${program.entry} is missing: npm run build`);
      }
      const flags = ['--enable-source-maps', ...before.flatMap((file) => ['--require', file])];
      const command = [process.execPath, ...flags, script];
      return spawnOurs({ command, env: program.env(), log });
    },
    ready: saysReady,
  };
}

/** Does it once, when it is first asked for; a failure is not kept. */
function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}
