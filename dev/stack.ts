import type { ChildProcess } from 'node:child_process';
import { mkdirSync, openSync, writeSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment } from '../config/config';
import type { ChildSpec } from './child';
import { spawnProgram } from './child';
import { startPostgres } from './postgres';
import { findTool } from './tools';

/** Where everything of one stack is. */
export interface StackPlan {
  readonly dataDir: string;
  readonly ports: {
    readonly api: number;
    readonly postgres: number;
    readonly temporal: number;
    readonly temporalUi: number;
  };
  readonly secrets: { readonly signingKey: string; readonly nodeToken: string };
}
/** Longer means broken: see the child's log. */
const READY_TIMEOUT_MS = 60_000;
const PROBE_MS = 50;
/** What a child inherits of our own environment: enough to find programs and a home. */
const INHERITED = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'USER', 'NODE_EXTRA_CA_CERTS'];
const SLOTS = 4;

/** The five processes of the embedded stack, in the order in which they can start. */
export function describeStack(
  plan: StackPlan,
): Record<'postgres' | 'temporal' | 'api' | 'control' | 'step', ChildSpec> {
  const paths = { dist: join(__dirname, '..'), logs: join(plan.dataDir, 'logs') };
  mkdirSync(paths.logs, { recursive: true });
  const log = (name: string): number => openSync(join(paths.logs, `${name}.log`), 'a');
  let databaseUrl = '';
  const node = (name: string, entry: string, env: () => Record<string, string>): ChildSpec => ({
    name,
    stopSignal: 'SIGTERM',
    start: () => {
      const command = [process.execPath, '--enable-source-maps', join(paths.dist, entry)];
      return keepOutput(spawnProgram(command, { env: { ...inherited(), ...env() }, log: log(name) }), log(name));
    },
    ready: readyLine,
  });
  const shared = sharedEnvironment(plan);
  return {
    postgres: {
      name: 'postgres',
      stopSignal: 'SIGINT',
      start: async () => {
        const dataDir = join(plan.dataDir, 'postgres');
        const started = await startPostgres({ dataDir, port: plan.ports.postgres, log: log('postgres') });
        databaseUrl = started.url;
        return started.child;
      },
      ready: async () => Promise.resolve(),
    },
    temporal: {
      name: 'temporal',
      stopSignal: 'SIGTERM',
      start: () => {
        const command = temporalCommand(plan);
        return keepOutput(spawnProgram(command, { env: inherited(), log: log('temporal') }), log('temporal'));
      },
      ready: () => portAnswers(plan.ports.temporal),
    },
    api: {
      ...node('api', 'api/main.js', () => ({
        ...shared,
        DATABASE_URL: databaseUrl,
        ANNEAL_PORT: String(plan.ports.api),
        ANNEAL_AUTH: 'open',
        ANNEAL_SIGNING_KEY: plan.secrets.signingKey,
        ANNEAL_NODE_TOKEN: plan.secrets.nodeToken,
        ANNEAL_DATA_DIR: join(plan.dataDir, 'api'),
      })),
      ready: () => healthAnswers(plan.ports.api),
    },
    control: node('control', 'workers/control.js', () => ({ ...shared, DATABASE_URL: databaseUrl })),
    step: node('step', 'workers/step.js', () => ({
      ...shared,
      ANNEAL_NODE_TOKEN: plan.secrets.nodeToken,
      ANNEAL_DATA_DIR: join(plan.dataDir, 'node'),
      ANNEAL_SLOTS: String(SLOTS),
    })),
  };
}

function sharedEnvironment(plan: StackPlan): Record<string, string> {
  return {
    ANNEAL_API: `http://127.0.0.1:${plan.ports.api}`,
    TEMPORAL_ADDRESS: `127.0.0.1:${plan.ports.temporal}`,
    TEMPORAL_UI_URL: `http://127.0.0.1:${plan.ports.temporalUi}`,
  };
}

/** The settings that were measured to matter on two cores: write-ahead log, eager activities. */
function temporalCommand(plan: StackPlan): string[] {
  const dynamic = [
    'system.enableActivityEagerExecution=true',
    'matching.numTaskqueueReadPartitions=1',
    'matching.numTaskqueueWritePartitions=1',
  ];
  return [
    findTool('temporal'), 'server', 'start-dev', '--ip', '127.0.0.1',
    '--port', String(plan.ports.temporal), '--ui-port', String(plan.ports.temporalUi),
    '--db-filename', join(plan.dataDir, 'temporal.db'), '--log-level', 'error',
    '--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=NORMAL',
    ...dynamic.flatMap((setting) => ['--dynamic-config-value', setting]),
  ];
}

function inherited(): Record<string, string> {
  const own = environment();
  return Object.fromEntries(INHERITED.flatMap((name) => (own[name] === undefined ? [] : [[name, own[name]]])));
}

/** Copies what a child prints to its log. */
function keepOutput(child: ChildProcess, log: number): ChildProcess {
  child.stdout?.on('data', (chunk: Buffer) => writeSync(log, chunk));
  return child;
}

/** Our own processes print one line of JSON with `ready` when they serve. */
async function readyLine(child: ChildProcess): Promise<void> {
  const { stdout } = child;
  if (stdout === null) return;
  const lines = createInterface({ input: stdout });
  await Promise.race([
    new Promise<void>((resolve) => {
      lines.on('line', (line) => {
        if (line.includes('"ready":true')) resolve();
      });
    }),
    timeout('it did not say that it is ready'),
  ]);
}

async function healthAnswers(port: number): Promise<void> {
  await poll(async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok);
}

async function portAnswers(port: number): Promise<void> {
  await poll(
    () =>
      new Promise<boolean>((resolve) => {
        const socket = createConnection({ port, host: '127.0.0.1' });
        socket.once('connect', () => {
          socket.destroy();
          resolve(true);
        });
        socket.once('error', () => {
          resolve(false);
        });
      }),
  );
}

async function poll(probe: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < deadline) {
    if (await probe().catch(() => false)) return;
    await sleep(PROBE_MS);
  }
  throw new Error('it does not answer');
}

async function timeout(message: string): Promise<never> {
  await sleep(READY_TIMEOUT_MS, undefined, { ref: false });
  throw new Error(message);
}
