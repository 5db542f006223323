import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';

/** A process beyond doubt: its number and when it began, since numbers are used again. */
export interface ProcessId {
  readonly pid: number;
  readonly began: string;
}
/** One try meets a stale lock, the next may meet another starter; more is a broken folder. */
const TRIES = 5;

/**
 * Takes a lock file for this process; a killed holder does not count. Returns undefined, or the
 * living process that has it. It tells processes of one machine, and of one container, from each
 * other: a folder that is shared more widely is not protected.
 */
export function takeLockFile(file: string): ProcessId | undefined {
  const own = identify(process.pid);
  if (own === undefined) throw new Error('this process cannot be found in the table of processes');
  for (let i = 0; i < TRIES; i += 1) {
    if (make(file, own)) return undefined;
    const holder = readHolder(file);
    if (holder !== undefined && isAlive(holder)) return holder;
    discard(file);
  }
  throw new Error(`${file} cannot be taken, and nobody holds it: remove it`);
}

/** The process that took a lock file last, living or not; undefined if there is no such file. */
export function readHolder(file: string): ProcessId | undefined {
  try {
    const [, pid, began = ''] = /^(\d+)@(.*)$/s.exec(readlinkSync(file)) ?? [];
    return { pid: Number(pid ?? 0), began };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (codeOf(error) === 'EINVAL') return { pid: 0, began: '' }; // some other kind of file
    throw error;
  }
}

/** Gives back a lock file that this process holds. */
export function releaseLockFile(file: string): void {
  rmSync(file, { force: true });
}

/** A link to nowhere: it is made at once, whole, by one process only, and on a full disk too. */
function make(file: string, { pid, began }: ProcessId): boolean {
  try {
    symlinkSync(`${pid}@${began}`, file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Removes a stale lock, unless another starter has just put its own there. */
function discard(file: string): void {
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return; // another starter was faster
    throw error;
  }
  const moved = readHolder(aside);
  if (moved !== undefined && isAlive(moved)) make(file, moved);
  rmSync(aside, { force: true });
}

/** The identity of a living process, or undefined. */
export function identify(pid: number): ProcessId | undefined {
  const began = beganAt(pid);
  return began === undefined ? undefined : { pid, began };
}

/** True while that very process lives. */
export function isAlive(id: ProcessId): boolean {
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
    const env = { LC_ALL: 'C', TZ: 'UTC' }; // whose shell asks must not change the answer
    const args = ['-o', 'lstart=', '-p', String(pid)];
    return execFileSync('/bin/ps', args, { encoding: 'utf8', env }).trim();
  } catch {
    return undefined;
  }
}

/** By structure: errors of node's own modules are no `Error` of a test's realm. */
function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}
