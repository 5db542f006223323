import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { environment } from '../config/config';
import { isHeld, isStale } from '../dev/lock';
import { findBinaries } from '../dev/postgres';
import { findTool } from '../dev/tools';
import { fail, ok, warn, type Check } from './checks';

/** The oldest Node that the dependencies run on; package.json says the same. */
const NODE_MIN = [20, 19] as const;
/** A program that only prints its version is broken if it takes longer. */
const PROBE_TIMEOUT_MS = 10_000;
const GIB = 1024 ** 3;
/** Databases stop when a disk is full, so they get room; a demo fits into the smaller one. */
const DISK_MIN_BYTES = GIB;
const DISK_LOW_BYTES = 5 * GIB;
const INODES_LOW_SHARE = 0.05;
const SET_UP = 'run: npm run setup';
/** Prints Python's version and that of the MLflow client, under either name, or nothing for it. */
const ASK_PYTHON = `
import importlib.metadata as m, sys
found = {d.metadata["Name"]: d.version for d in m.distributions()}
print(sys.version.split()[0], found.get("mlflow") or found.get("mlflow-skinny") or "")`;

/** What 'anneal dev' and steps need of this machine; nothing has to run. */
export async function checkMachine(dataDir: string): Promise<Check[]> {
  const folder = checkFolder(dataDir);
  const programs = [checkTemporal(), checkPostgres(), checkClickHouse(), checkPython()];
  return [
    checkNode(process.versions.node),
    ...(await Promise.all(programs)),
    folder,
    checkDisk(dataDir),
    ...(folder.state === 'ok' ? [checkLock(dataDir)] : []),
  ];
}

/** Whether a Node of this version is new enough. */
export function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1]);
  if (!isOld) return ok('node', version);
  return fail('node', `${version} is too old`, `install Node ${NODE_MIN.join('.')} or newer`);
}

function checkTemporal(): Promise<Check> {
  return checkProgram('temporal program', 'TEMPORAL_ADDRESS', () => [
    findTool('temporal'),
    '--version',
  ]);
}

function checkPostgres(): Promise<Check> {
  return checkProgram('postgres program', 'DATABASE_URL', () => [
    findBinaries().postgres,
    '--version',
  ]);
}

function checkClickHouse(): Promise<Check> {
  const code = 'require(process.argv[1]); console.log("chDB loads")';
  return checkProgram('clickhouse library', 'CLICKHOUSE_URL', () => [
    process.execPath,
    ...['-e', code, require.resolve('chdb')],
  ]);
}

/** Runs what the embedded stack would run, unless the setting places it elsewhere. */
async function checkProgram(
  name: string,
  setting: string,
  command: () => readonly string[],
): Promise<Check> {
  const elsewhere = environment()[setting];
  if (elsewhere !== undefined && elsewhere !== '') return ok(name, `not needed: ${setting} is set`);
  try {
    return ok(name, await firstLineOf(command()));
  } catch (error) {
    const message = error instanceof Error ? error.message : 'it does not start';
    return fail(name, message, `${SET_UP}, or set ${setting}`);
  }
}

async function firstLineOf([file = '', ...args]: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, { timeout: PROBE_TIMEOUT_MS });
  return stdout.trim().split('\n')[0] ?? '';
}

/** Whether the data folder can be written, or made. */
export function checkFolder(dataDir: string): Check {
  const name = 'data folder';
  const nearest = nearestExisting(dataDir);
  if (!statSync(nearest).isDirectory()) {
    return fail(name, `${nearest} is a file`, 'remove it, or choose another folder with --data');
  }
  try {
    accessSync(nearest, constants.W_OK | constants.X_OK);
  } catch {
    const advice = 'change its mode or owner, or choose another folder with --data';
    return fail(name, `${nearest} cannot be written`, advice);
  }
  return ok(name, nearest === dataDir ? dataDir : `${dataDir} will be made`);
}

/** Whether the disk of the data folder has room for databases. */
export function checkDisk(dataDir: string): Check {
  const { bavail, bsize, files, ffree } = statfsSync(nearestExisting(dataDir));
  return judgeDisk({ freeBytes: bavail * bsize, inodes: files, inodesFree: ffree });
}

/** What such a disk means; some file systems count no inodes. */
export function judgeDisk(disk: {
  readonly freeBytes: number;
  readonly inodes: number;
  readonly inodesFree: number;
}): Check {
  const { freeBytes, inodes, inodesFree } = disk;
  const name = 'disk';
  const free = `${(freeBytes / GIB).toFixed(1)} GiB free`;
  const advice = 'free some space, or choose a folder on another disk with --data';
  if (freeBytes < DISK_MIN_BYTES) return fail(name, free, advice);
  if (freeBytes < DISK_LOW_BYTES) return warn(name, free, advice);
  if (inodes > 0 && inodesFree < inodes * INODES_LOW_SHARE) {
    return warn(
      name,
      `${inodesFree} of ${inodes} inodes free`,
      'remove small files that nobody needs',
    );
  }
  return ok(name, free);
}

/** Whether somebody runs on the data folder, or was killed there. */
export function checkLock(dataDir: string): Check {
  const name = 'anneal dev';
  if (isHeld(dataDir)) return ok(name, `runs on ${dataDir}`);
  if (!isStale(dataDir)) return ok(name, 'does not run on this folder');
  const message = `was killed on ${dataDir}; its programs may still run`;
  return warn(name, message, 'start it again: anneal dev ends what was left and loses nothing');
}

async function checkPython(): Promise<Check> {
  const name = 'python (optional)';
  const install = 'for Python steps that track: pip install mlflow-skinny';
  try {
    const [version = '', mlflow = ''] = (await firstLineOf(['python3', '-c', ASK_PYTHON])).split(
      ' ',
    );
    if (mlflow === '') return warn(name, `${version} without the MLflow client`, install);
    return ok(name, `${version} with MLflow ${mlflow}`);
  } catch {
    return warn(name, 'python3 does not start', 'install Python 3 if your steps need it');
  }
}

function nearestExisting(path: string): string {
  return existsSync(path) ? path : nearestExisting(dirname(path));
}
