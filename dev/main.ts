import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { AppError } from '../errors/app-error';
import { endLeftovers, isStale, releaseLock, takeLock } from './lock';
import { openSettings } from './settings';
import type { DevSettings } from './settings';
import { temporalAddress, temporalUi } from './stack';
import { createSupervisor } from './supervisor';
import type { Supervisor } from './supervisor';

/** How to run the platform on this machine. */
export interface DevOptions {
  /** Of the api; 0 takes a free one. */
  readonly port: number;
  readonly dataDir: string;
  /** A temporary folder, removed at the end. */
  readonly ephemeral: boolean;
  /** One line of JSON on stdout when everything serves. */
  readonly readyJson: boolean;
}
/** What `--ready-json` prints. */
export interface ReadyStack {
  readonly ready: true;
  readonly api: string;
  readonly temporal: string;
  /** '' for a server elsewhere whose UI is not known. */
  readonly temporalUi: string;
  readonly dataDir: string;
  readonly pids: Readonly<Record<string, number>>;
}

const EPHEMERAL = 'anneal-dev-';

/** Runs the whole platform until SIGINT, SIGTERM or SIGHUP; resolves after an orderly stop. */
export async function runDev(options: DevOptions): Promise<void> {
  // a closed terminal or pipe must not end us before our children
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  process.umask(0o077); // databases and logs are nobody else's
  const dataDir = await openFolder(options);
  const signal = stopSignal();
  takeLock(dataDir);
  try {
    await runStack({ dataDir, signal }, options);
  } finally {
    releaseLock(dataDir);
    if (options.ephemeral) removeFolder(dataDir);
  }
}

async function runStack(
  { dataDir, signal }: { readonly dataDir: string; readonly signal: StopSignal },
  options: DevOptions,
): Promise<void> {
  const leftovers = await endLeftovers(dataDir);
  if (leftovers > 0) say(`ended ${leftovers} processes that an earlier run had left behind`);
  const settings = await openSettings(dataDir, options.port);
  const supervisor = createSupervisor(settings, say);
  signal.onSecond = () => {
    supervisor.kill();
    releaseLock(dataDir);
    process.exit(130);
  };
  try {
    await Promise.race([supervisor.start(), signal.first]);
    if (!signal.came) announce({ settings, supervisor }, options);
    await signal.first;
  } finally {
    say('stopping');
    await supervisor.stop();
  }
}

function announce(
  { settings, supervisor }: { readonly settings: DevSettings; readonly supervisor: Supervisor },
  options: DevOptions,
): void {
  const ready: ReadyStack = {
    ready: true,
    api: `http://127.0.0.1:${settings.ports.api}`,
    temporal: temporalAddress(settings),
    temporalUi: temporalUi(settings) ?? '',
    dataDir: settings.dataDir,
    pids: { supervisor: process.pid, ...supervisor.pids() },
  };
  if (options.readyJson) {
    process.stdout.write(`${JSON.stringify(ready)}\n`);
    return;
  }
  const { databaseUrl, temporalAddress: external } = settings.external;
  say('');
  say('Anneal is ready.');
  say(`  api and MLflow    ${ready.api}`);
  const from = external === undefined ? '' : ' (TEMPORAL_ADDRESS)';
  say(`  Temporal          ${ready.temporal}${from}`);
  if (ready.temporalUi !== '') say(`  Temporal's web UI ${ready.temporalUi}`);
  if (databaseUrl !== undefined) say('  Postgres          the one of DATABASE_URL');
  say(`  data and logs     ${ready.dataDir}`);
  say('');
  say(`  export MLFLOW_TRACKING_URI=${ready.api}`);
  say('  npm run anneal -- run start examples/01-digits/pipeline.yaml --follow');
  say('');
  say('Ctrl-C stops it; what was acknowledged is kept.');
}

async function openFolder(options: DevOptions): Promise<string> {
  if (options.ephemeral) {
    await sweepTemporary();
    const folder = mkdtempSync(join(tmpdir(), EPHEMERAL));
    chmodSync(folder, 0o711);
    return folder;
  }
  const folder = resolve(options.dataDir);
  if (existsSync(folder)) {
    if (statSync(folder).isDirectory()) return folder;
    throw new AppError(
      'CONFIG_INVALID',
      `${folder} is not a folder: give another one with --data.`,
    );
  }
  try {
    makeFolder(folder);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `${folder} cannot be made: ${why}. Give another folder with --data.`;
    throw new AppError('CONFIG_INVALID', message, { cause });
  }
  chmodSync(folder, 0o711); // passable: as root Postgres may run under another user
  return folder;
}

/** One level after the other: Node's own `recursive` never ends below /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  mkdirSync(folder);
}

/** Removes temporary folders whose supervisor was killed, and ends what still runs on them. */
async function sweepTemporary(): Promise<void> {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(EPHEMERAL))) {
    const folder = join(tmpdir(), name);
    if (!isStale(folder)) continue; // in use, or just being made
    await endLeftovers(folder);
    removeFolder(folder);
  }
}

function removeFolder(folder: string): void {
  // a process that was ended by force may have been writing a moment ago
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

interface StopSignal {
  readonly first: Promise<void>;
  came: boolean;
  /** Somebody is in a hurry. */
  onSecond: () => void;
}

function stopSignal(): StopSignal {
  let release: () => void = () => undefined;
  const first = new Promise<void>((done) => {
    release = done;
  });
  const state: StopSignal = { first, came: false, onSecond: () => process.exit(130) };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (state.came) state.onSecond();
      state.came = true;
      release();
    });
  }
  return state;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
