import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../errors/app-error';
import { identify, isAlive, readHolder, releaseLockFile, takeLockFile } from '../storage/lock-file';
import type { ProcessId } from '../storage/lock-file';

const LOCK = 'dev.lock';
const CHILDREN = 'children.json';
/** Longer than any child of ours needs to end in order. */
const END_TIMEOUT_MS = 8_000;
/** The system removes a killed process at once, unless it hangs in a disk. */
const KILL_TIMEOUT_MS = 2_000;

/** Takes the data folder for this process; INVALID_STATE while another living process holds it. */
export function takeLock(dataDir: string): void {
  const holder = takeLockFile(join(dataDir, LOCK));
  if (holder === undefined) return;
  const message = `'anneal dev' already runs on ${dataDir} (process ${holder.pid}).`;
  throw new AppError(
    'INVALID_STATE',
    `${message} Stop it first, or choose another folder with --data.`,
  );
}

/** True while a living process holds the data folder. */
export function isHeld(dataDir: string): boolean {
  const holder = readHolder(join(dataDir, LOCK));
  return holder !== undefined && isAlive(holder);
}

/** True if the process that held the data folder was killed. */
export function isStale(dataDir: string): boolean {
  const holder = readHolder(join(dataDir, LOCK));
  return holder !== undefined && !isAlive(holder);
}

/** Gives the folder back, with a clean slate: every child has ended. */
export function releaseLock(dataDir: string): void {
  rmSync(join(dataDir, CHILDREN), { force: true });
  releaseLockFile(join(dataDir, LOCK));
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
  const recorded = readChildren(join(dataDir, CHILDREN));
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

function readChildren(file: string): ProcessId[] {
  if (!existsSync(file)) return [];
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessId[];
  } catch {
    return []; // torn by a crash: as good as not there
  }
}
