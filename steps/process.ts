import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LogLine } from '../schemas/pipeline-runs';
import { guardGroup, killMarked } from './guard';
import { readLines } from './lines';
import type { Masks } from './secrets';
import type { StepUser } from './step-user';

/** How a step's process ended. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Set if it could not be started at all. */
  readonly startError?: string;
  /** True if we had asked it to end before. */
  readonly terminated: boolean;
  /** True if it had not ended when its grace was over. */
  readonly outlivedGrace: boolean;
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
  /** Another user than our own. */
  readonly user?: StepUser | undefined;
  /** A variable `NAME=value` of `env` that no other attempt has: what the step leaves has it, too. */
  readonly mark?: string;
  readonly onLine: (stream: LogLine['stream'], text: string) => void;
  /** As for readLines. */
  readonly masks?: Masks;
}
type Child = ChildProcessByStdio<null, Readable, Readable>;

/** The step's last words are in the pipes already; a daemon that hides may hold them open. */
const LAST_WORDS_MS = 2_000;

/** Starts a step's command in a group of its own, its output line by line. */
export function startProcess(options: ProcessOptions): StepProcess {
  const child = spawnGroup(options);
  if (typeof child === 'string') return neverStarted(child);
  const { pid } = child;
  const guard = pid === undefined ? undefined : guardGroup(pid, options.mark);
  const state = {
    terminated: false,
    outlivedGrace: false,
    ended: false,
    timer: undefined as NodeJS.Timeout | undefined,
  };
  const signalGroup = (signal: NodeJS.Signals): void => {
    if (pid === undefined || state.ended) return; // by then the number may be someone else's
    try {
      process.kill(-pid, signal);
    } catch {
      // the group is gone already
    }
  };
  const output = readOutput(child, options);
  const exited = new Promise<Pick<ProcessEnd, 'code' | 'signal' | 'startError'>>((resolve) => {
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
    state.ended = true;
    guard?.release();
    if (options.mark !== undefined) await killMarked(options.mark, options.user);
    await output.finish();
    const { terminated, outlivedGrace } = state;
    return { ...end, terminated, outlivedGrace };
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
        state.outlivedGrace = true;
        signalGroup('SIGKILL');
      }, graceMs);
    },
  };
}

/** The child, or why node refuses even to try (an argument with a NUL, too many bytes). */
function spawnGroup({ argv, cwd, env, user }: ProcessOptions): Child | string {
  const [file = '', ...args] = argv;
  try {
    return spawn(file, args, {
      cwd,
      env: { ...env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...user,
    });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function neverStarted(startError: string): StepProcess {
  const end = { code: null, signal: null, startError, terminated: false, outlivedGrace: false };
  return { ended: Promise.resolve(end), kill: () => undefined, terminate: () => undefined };
}

function readOutput(child: Child, { onLine, masks }: ProcessOptions): { finish(): Promise<void> } {
  const reading = (['stdout', 'stderr'] as const).map(
    (stream) =>
      readLines(child[stream], {
        onLine: (text) => {
          onLine(stream, text);
        },
        mask: masks?.mask,
        maskChars: masks?.charsMax,
      }).catch(() => undefined), // closed by us, below
  );
  return {
    finish: async () => {
      const patience = new AbortController();
      const late = sleep(LAST_WORDS_MS, undefined, { signal: patience.signal }).catch(
        () => undefined,
      );
      await Promise.race([Promise.all(reading), late]);
      patience.abort();
      child.stdout.destroy();
      child.stderr.destroy();
      await Promise.all(reading);
    },
  };
}
