import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { LogLine } from '../schemas/pipeline-runs';
import { guardGroup } from './guard';

/** How a step's process ended. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Set if it could not be started at all. */
  readonly startError?: string;
  /** True if we had asked it to end before. */
  readonly terminated: boolean;
}
/** A running step: a process group of its own. */
export interface StepProcess {
  readonly ended: Promise<ProcessEnd>;
  /** SIGTERM to the whole group, SIGKILL after the grace. Asking twice changes nothing. */
  terminate(graceMs: number): void;
  /** SIGKILL to the whole group. */
  kill(): void;
}
export interface ProcessOptions {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly onLine: (stream: LogLine['stream'], text: string) => void;
}

/** Starts a step's command in a group of its own, its output line by line. */
export function startProcess(options: ProcessOptions): StepProcess {
  const [file = '', ...args] = options.argv;
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...options.env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const guard = child.pid === undefined ? undefined : guardGroup(child.pid);
  const state = { terminated: false, timer: undefined as NodeJS.Timeout | undefined };
  const signalGroup = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // the group is gone already
    }
  };
  const output = Promise.all([
    readLines(child.stdout, (text) => {
      options.onLine('stdout', text);
    }),
    readLines(child.stderr, (text) => {
      options.onLine('stderr', text);
    }),
  ]);
  const exited = new Promise<Omit<ProcessEnd, 'terminated'>>((resolve) => {
    child.once('error', (error) => {
      resolve({ code: null, signal: null, startError: error.message });
    });
    child.once('exit', (code, signal) => {
      resolve({ code, signal });
    });
  });
  const ended = exited.then(async (end) => {
    clearTimeout(state.timer);
    signalGroup('SIGKILL'); // what the step left running behind itself ends with it
    guard?.release();
    if (end.startError === undefined) await output;
    return { ...end, terminated: state.terminated };
  });
  return {
    ended,
    kill: () => {
      signalGroup('SIGKILL');
    },
    terminate: (graceMs) => {
      if (state.terminated) return;
      state.terminated = true;
      signalGroup('SIGTERM');
      state.timer = setTimeout(() => {
        signalGroup('SIGKILL');
      }, graceMs);
    },
  };
}

async function readLines(stream: Readable, onLine: (text: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) onLine(line);
}
