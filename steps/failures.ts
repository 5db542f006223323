import { existsSync, readFileSync, statfsSync } from 'node:fs';
import type { FailureClass } from '../schemas/plan';
import type { ProcessEnd } from './process';

/** Why we asked the process to end, if we did. */
export type StopCause = 'timeout' | 'stalled' | 'cancelled' | 'preempted' | 'superseded';
export interface StepFailure {
  readonly failureClass: FailureClass;
  readonly reason: string;
  readonly exitCode: number | null;
}
/** EX_TEMPFAIL of sysexits.h: the step itself asks to be placed elsewhere. */
const EXIT_TEMPFAIL = 75;
/** Shells report the end of a child by a signal as 128 + its number. */
const EXIT_SIGNAL = 128;
const EXIT_KILLED = EXIT_SIGNAL + 9; // SIGKILL

/** Where the runner of a function step says why it failed, beside its step file. */
export const PROBLEM_FILE = 'problem.json';
/** A few blocks stay free when a write no longer fits. */
const FREE_BYTES_MIN = 64 * 1024;

/** True if the process was ended in the middle of whatever it did. */
export function wasKilled({ code, signal }: ProcessEnd): boolean {
  return signal !== null || (code ?? 0) > EXIT_SIGNAL;
}

/** The class of an ended process, or undefined if it ended well. */
export function classifyEnd(
  end: ProcessEnd,
  context: {
    readonly command: string;
    readonly node: string;
    readonly cause: StopCause | undefined;
    readonly oomKills: number;
    /** Of the step's folder; see isDiskFull. */
    readonly isDiskFull?: boolean;
    /** What was missing for how long, if that is the cause. */
    readonly silence?: string | undefined;
    /** What it had to end within, after SIGTERM. */
    readonly graceSeconds?: number;
  },
): StepFailure | undefined {
  const exitCode = end.code;
  const late = end.outlivedGrace
    ? `; it did not end within ${context.graceSeconds ?? 0} s of SIGTERM and was killed`
    : '';
  if (end.startError !== undefined) {
    const notFound = end.startError.includes('ENOENT');
    const reason = notFound
      ? `${context.command}: command not found on node ${context.node}`
      : `${context.command} cannot be started: ${end.startError}`;
    return { failureClass: 'crash', reason, exitCode };
  }
  if (context.cause === 'timeout') {
    return { failureClass: 'timeout', reason: `it ran longer than its timeout${late}`, exitCode };
  }
  if (context.cause === 'stalled') {
    // not `heartbeat`, which is a lost worker's: the step itself is at fault and pays for it
    return {
      failureClass: 'timeout',
      reason: `${context.silence ?? 'it stalled'}${late}`,
      exitCode,
    };
  }
  if (context.cause === 'superseded') {
    return { failureClass: 'node-lost', reason: 'a newer attempt has begun', exitCode };
  }
  // it came to its end within the grace; or does not look whether what it wrote did fit
  if (exitCode === 0 && context.isDiskFull !== true) return undefined;
  if (context.cause === 'preempted' || exitCode === EXIT_TEMPFAIL) {
    return { failureClass: 'preempted', reason: `it had to leave its node${late}`, exitCode };
  }
  if ((end.signal === 'SIGKILL' || exitCode === EXIT_KILLED) && oomKills() > context.oomKills) {
    return { failureClass: 'oom', reason: 'it was killed because memory ran out', exitCode };
  }
  if (context.isDiskFull === true) {
    const reason = `the disk of node ${context.node} is full: write less, or free some space there`;
    return { failureClass: 'quota', reason, exitCode };
  }
  const how = end.signal === null ? `exit code ${exitCode ?? '?'}` : `signal ${end.signal}`;
  return { failureClass: 'crash', reason: `it ended with ${how}`, exitCode };
}

/** How many processes this control group has lost to the kernel's OOM killer; 0 where unknown. */
export function oomKills(): number {
  const file = '/sys/fs/cgroup/memory.events';
  if (!existsSync(file)) return 0;
  return Number(/oom_kill (\d+)/.exec(readFileSync(file, 'utf8'))?.[1] ?? 0);
}

/** True if nothing more can be written below a folder, or the step said so of another disk. */
export function isDiskFull(folder: string, lastWords: string): boolean {
  return freeBytes(folder) < FREE_BYTES_MIN || /No space left on device|ENOSPC/.test(lastWords);
}

function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return Infinity; // a file system that does not tell
  }
}
