import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createToken } from '../api/auth/tokens';
import { AppError } from '../errors/app-error';
import { SupervisedChild } from './child';
import { endLeftovers, recordChildren, releaseLock, takeLock } from './lock';
import { freePort } from './postgres';
import { describeStack } from './stack';
import type { StackPlan } from './stack';

export interface DevOptions {
  readonly port: number;
  readonly dataDir: string;
  readonly ephemeral: boolean;
  readonly readyJson: boolean;
}

/** What `--ready-json` prints: one line, when everything serves. */
export interface ReadyStack {
  readonly ready: true;
  readonly api: string;
  readonly temporalUi: string;
  readonly temporal: string;
  readonly dataDir: string;
  readonly pids: Readonly<Record<string, number>>;
}

/** Runs the whole platform until SIGINT or SIGTERM; resolves after an orderly stop. */
export async function runDev(options: DevOptions): Promise<void> {
  const dataDir = options.ephemeral
    ? mkdtempSync(join(tmpdir(), 'anneal-dev-'))
    : resolve(options.dataDir);
  mkdirSync(dataDir, { recursive: true, mode: 0o755 });
  takeLock(dataDir);
  const stopped = untilSignal();
  try {
    const leftovers = await endLeftovers(dataDir);
    if (leftovers > 0) say(`ended ${leftovers} processes that an earlier run had left behind`);
    const plan = await makePlan(dataDir, options.port);
    const children = createChildren(plan);
    try {
      await Promise.race([startAll(children), stopped]);
      if (!stopped.done) announce(plan, { children, options });
      await stopped;
    } finally {
      say('stopping');
      await stopAll(children);
    }
  } finally {
    releaseLock(dataDir);
    if (options.ephemeral) rmSync(dataDir, { recursive: true, force: true });
  }
}

type Children = Record<'postgres' | 'temporal' | 'api' | 'control' | 'step', SupervisedChild>;

function createChildren(plan: StackPlan): Children {
  const specs = describeStack(plan);
  const children = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      name,
      new SupervisedChild(spec, (event) => {
        const pids = Object.values(children).flatMap((child) => child.pid ?? []);
        recordChildren(plan.dataDir, pids);
        if (event !== 'started') say(`${name} ${event}`);
      }),
    ]),
  ) as Children;
  return children;
}

async function startAll(children: Children): Promise<void> {
  const start = (name: keyof Children): Promise<void> =>
    children[name].start().catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      const message = `${name} did not start: ${why}. See logs/${name}.log in the data folder.`;
      throw new AppError('DEPENDENCY_UNAVAILABLE', message, { cause });
    });
  const temporal = start('temporal');
  await Promise.all([temporal, start('postgres').then(() => start('api'))]);
  await Promise.all([start('control'), start('step')]);
}

/** Workers first, so that their last words still reach the api; the stores last. */
async function stopAll(children: Children): Promise<void> {
  await Promise.all([children.step.stop(), children.control.stop()]);
  await children.api.stop();
  await Promise.all([children.temporal.stop(), children.postgres.stop()]);
}

function announce(
  plan: StackPlan,
  { children, options }: { readonly children: Children; readonly options: DevOptions },
): void {
  const ready: ReadyStack = {
    ready: true,
    api: `http://127.0.0.1:${plan.ports.api}`,
    temporalUi: `http://127.0.0.1:${plan.ports.temporalUi}`,
    temporal: `127.0.0.1:${plan.ports.temporal}`,
    dataDir: plan.dataDir,
    pids: Object.fromEntries(
      Object.entries(children).flatMap(([name, child]) => (child.pid === undefined ? [] : [[name, child.pid]])),
    ),
  };
  if (options.readyJson) {
    process.stdout.write(`${JSON.stringify(ready)}\n`);
    return;
  }
  say('');
  say('Anneal is ready.');
  say(`  api and MLflow    ${ready.api}`);
  say(`  Temporal's web UI ${ready.temporalUi}`);
  say(`  data and logs     ${plan.dataDir}`);
  say('');
  say(`  export MLFLOW_TRACKING_URI=${ready.api}`);
  say('  npm run anneal -- run start examples/01-digits/pipeline.yaml --follow');
  say('');
  say('Ctrl-C stops it; what was acknowledged is kept.');
}

async function makePlan(dataDir: string, port: number): Promise<StackPlan> {
  await assertFree(port);
  const file = join(dataDir, 'ports.json');
  type Ports = Omit<StackPlan['ports'], 'api'>;
  const ports: Ports = existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as Ports)
    : { postgres: await freePort(), temporal: await freePort(), temporalUi: await freePort() };
  for (const name of ['postgres', 'temporal', 'temporalUi'] as const) {
    if (await isTaken(ports[name])) Object.assign(ports, { [name]: await freePort() });
  }
  writeFileSync(file, JSON.stringify(ports));
  return { dataDir, ports: { ...ports, api: port }, secrets: readSecrets(dataDir) };
}

function readSecrets(dataDir: string): StackPlan['secrets'] {
  const file = join(dataDir, 'secrets.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as StackPlan['secrets'];
  const secrets = {
    signingKey: randomBytes(32).toString('hex'),
    nodeToken: createToken('node').text,
  };
  writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
  return secrets;
}

async function assertFree(port: number): Promise<void> {
  if (!(await isTaken(port))) return;
  const message = `Port ${port} is in use by another program.`;
  throw new AppError('CONFLICT', `${message} Choose another one with --port.`);
}

async function isTaken(port: number): Promise<boolean> {
  const server = createServer();
  const free = await new Promise<boolean>((done) => {
    server.once('error', () => {
      done(false);
    });
    server.listen(port, '127.0.0.1', () => {
      done(true);
    });
  });
  await new Promise((done) => server.close(done));
  return !free;
}

/** Resolves at the first SIGINT or SIGTERM; the second one ends this process at once. */
function untilSignal(): Promise<void> & { readonly done: boolean } {
  const state = { done: false };
  const promise = new Promise<void>((release) => {
    const onSignal = (): void => {
      if (state.done) process.exit(130);
      state.done = true;
      release();
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
  return Object.defineProperty(promise, 'done', { get: () => state.done }) as Promise<void> & {
    readonly done: boolean;
  };
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
