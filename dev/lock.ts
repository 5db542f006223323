import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../errors/app-error';

/** A process beyond doubt: its number and when it began, since numbers are used again. */
interface ProcessId {
  readonly pid: number;
  readonly began: string;
}
const LOCK = 'dev.lock';
const CHILDREN = 'children.json';
/** Longer than any child of ours needs to end in order. */
const END_TIMEOUT_MS = 8_000;
/** The system removes a killed process at once, unless it hangs in a disk. */
const KILL_TIMEOUT_MS = 2_000;
/** One try meets a stale lock, the next may meet another starter; more is a broken folder. */
const TRIES = 5;

/** Takes the data folder for this process; INVALID_STATE while another living process holds it. */
export function takeLock(dataDir: string): void {
  const file = join(dataDir, LOCK);
  const own = `${file}.${process.pid}`;
  writeFileSync(own, JSON.stringify(identify(process.pid)));
  try {
    for (let i = 0; i < TRIES; i += 1) {
      if (link(own, file)) return;
      if (isHeld(dataDir)) break;
      discard(file);
    }
  } finally {
    rmSync(own, { force: true });
  }
  const holder = (readJson(file) as ProcessId | undefined)?.pid ?? '?';
  const message = `'anneal dev' already runs on ${dataDir} (process ${holder}).`;
  throw new AppError(
    'INVALID_STATE',
    `${message} Stop it first, or choose another folder with --data.`,
  );
}

/** True while a living process holds the data folder. */
export function isHeld(dataDir: string): boolean {
  const holder = readJson(join(dataDir, LOCK)) as ProcessId | undefined;
  return holder !== undefined && isAlive(holder);
}

/** Gives the folder back, with a clean slate: every child has ended. */
export function releaseLock(dataDir: string): void {
  rmSync(join(dataDir, CHILDREN), { force: true });
  rmSync(join(dataDir, LOCK), { force: true });
}

/** Notes the living children, so that the next start can end them if this process is killed. */
export function recordChildren(dataDir: string, pids: readonly number[]): void {
  const file = join(dataDir, CHILDREN);
  const ids = pids.map(identify).filter((id) => id !== undefined);
  writeFileSync(`${file}.new`, JSON.stringify(ids));
  renameSync(`${file}.new`, file); // a kill in between leaves the old list, not half of one
}

/** Ends what a killed supervisor left behind; returns how many there were. */
export async function endLeftovers(dataDir: string): Promise<number> {
  const recorded = (readJson(join(dataDir, CHILDREN)) ?? []) as ProcessId[];
  const living = recorded.filter(isAlive);
  for (const { pid } of living) send(pid, 'SIGINT'); // for Postgres: the fast shutdown
  await untilGone(living, END_TIMEOUT_MS);
  for (const { pid } of living) send(-pid, 'SIGKILL'); // with what they left in their groups
  await untilGone(living, KILL_TIMEOUT_MS);
  return living.length;
}

async function untilGone(ids: readonly ProcessId[], limitMs: number): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (ids.some(isAlive) && Date.now() < deadline) await sleep(20);
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has ended, or was never ours
  }
}

/** Gives a file a second name, at once and only if nobody has it. */
function link(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes a stale lock, unless another starter has just put its own there. */
function discard(file: string): void {
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch {
    return; // another starter was faster
  }
  const moved = readJson(aside) as ProcessId | undefined;
  if (moved !== undefined && isAlive(moved)) link(aside, file);
  rmSync(aside, { force: true });
}

/** The identity of a living process, or undefined. */
function identify(pid: number): ProcessId | undefined {
  const began = beganAt(pid);
  return began === undefined ? undefined : { pid, began };
}

function isAlive(id: ProcessId): boolean {
  return beganAt(id.pid) === id.began;
}

/** When a process began, or undefined if there is none. */
function beganAt(pid: number): string | undefined {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' ? undefined : fields[19]; // state; starttime is field 22
    }
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}

function readJson(file: string): unknown {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined; // torn by a crash: as good as not there
  }
}
