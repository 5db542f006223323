import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../errors/app-error';

/** A process beyond doubt: its number and when it began, since numbers are used again. */
export interface ProcessId {
  readonly pid: number;
  readonly began: string;
}
const LOCK = 'dev.lock';
const CHILDREN = 'children.json';
/** Longer than any child of ours needs to end in order. */
const END_TIMEOUT_MS = 8_000;

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

/** The identity of a living process, or undefined. */
export function identify(pid: number): ProcessId | undefined {
  const began = beganAt(pid);
  return began === undefined ? undefined : { pid, began };
}

function isAlive(id: ProcessId): boolean {
  return beganAt(id.pid) === id.began;
}

/** Takes the data folder for this process; CONFLICT while another living process holds it. */
export function takeLock(dataDir: string): void {
  const file = join(dataDir, LOCK);
  const holder = readJson<ProcessId>(file);
  if (holder !== undefined && holder.pid !== process.pid && isAlive(holder)) {
    const message = `'anneal dev' already runs on ${dataDir} (process ${holder.pid}).`;
    throw new AppError('CONFLICT', `${message} Stop it first, or choose another folder with --data.`);
  }
  writeFileSync(file, JSON.stringify(identify(process.pid)));
}

/** Gives the folder back. */
export function releaseLock(dataDir: string): void {
  rmSync(join(dataDir, LOCK), { force: true });
  rmSync(join(dataDir, CHILDREN), { force: true });
}

/** Notes the living children, so that the next start can end them if this process is killed. */
export function recordChildren(dataDir: string, pids: readonly number[]): void {
  const ids = pids.map(identify).filter((id) => id !== undefined);
  writeFileSync(join(dataDir, CHILDREN), JSON.stringify(ids));
}

/** Ends what a killed supervisor left behind; returns how many there were. */
export async function endLeftovers(dataDir: string): Promise<number> {
  const recorded = readJson<ProcessId[]>(join(dataDir, CHILDREN)) ?? [];
  const living = recorded.filter(isAlive);
  for (const id of living) process.kill(id.pid, 'SIGINT'); // for Postgres: the fast shutdown
  const deadline = Date.now() + END_TIMEOUT_MS;
  while (living.some(isAlive) && Date.now() < deadline) await sleep(50);
  for (const id of living.filter(isAlive)) process.kill(id.pid, 'SIGKILL');
  while (living.some(isAlive)) await sleep(20);
  return living.length;
}

function readJson<T>(file: string): T | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    return undefined; // torn by a crash: as good as not there
  }
}
