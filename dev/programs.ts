import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment } from '../config/config';
import { splitSecrets } from '../config/secrets';

const PROBE_MS = 50;
const PROBE_TIMEOUT_MS = 2_000;
/** What a failed start shows of a log: a stack with its cause. */
const TAIL_BYTES = 2_000;

/** A program with exactly this environment; its output goes to the log. */
export interface Program {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** An open file. */
  readonly log: number;
}

/** Starts it in a process group of its own: a Ctrl-C in the terminal is for us, not for it. */
export function spawnProgram(program: Program): ChildProcess {
  return start(program, 'ignore');
}

/** As spawnProgram, for a process of ours: its secrets go through a pipe, not the environment. */
export function spawnOurs({ command, env, log }: Program): ChildProcess {
  const { env: open, secrets } = splitSecrets(env);
  const child = start({ command, env: { ...open, ANNEAL_SECRETS: 'stdin' }, log }, 'pipe');
  child.stdin?.on('error', () => undefined); // it ended before it read them
  child.stdin?.end(JSON.stringify(secrets));
  return child;
}

function start({ command, env, log }: Program, stdin: 'ignore' | 'pipe'): ChildProcess {
  const [file = '', ...args] = command;
  const child = spawn(file, args, { env: { ...env }, detached: true, stdio: [stdin, 'pipe', log] });
  child.stdout?.on('data', (chunk: Buffer) => writeSync(log, chunk));
  return child.on('error', () => undefined); // a program that cannot start has no pid
}

/** The named variables of our own environment that are set; everything else stays here. */
export function pickEnvironment(names: readonly string[]): Record<string, string> {
  const own = environment();
  return Object.fromEntries(
    names.flatMap((name) => (own[name] === undefined ? [] : [[name, own[name]]])),
  );
}

/** Resolves when the child prints the line of JSON that says `ready`. */
export async function saysReady(child: ChildProcess): Promise<void> {
  const { stdout } = child;
  if (stdout === null) return;
  await new Promise<void>((resolve) => {
    let text = '';
    const onData = (chunk: Buffer): void => {
      text += chunk.toString();
      if (!text.includes('"ready":true')) return;
      stdout.off('data', onData);
      resolve();
    };
    stdout.on('data', onData);
  });
}

/** Resolves when a GET of this address answers 2xx; gives up when the signal aborts. */
export async function answersAt(url: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]);
    const answer = await fetch(url, { signal: limit }).catch(() => undefined);
    await answer?.body?.cancel().catch(() => undefined);
    if (answer?.ok === true) return;
    await sleep(PROBE_MS);
  }
}

/** The end of a log, '' if there is none. */
export function tailOf(file: string): string {
  if (!existsSync(file)) return '';
  const log = openSync(file, 'r');
  try {
    const { size } = fstatSync(log);
    const from = Math.max(0, size - TAIL_BYTES);
    const bytes = Buffer.alloc(size - from);
    readSync(log, bytes, 0, bytes.length, from);
    const text = bytes.toString();
    return text.slice(from === 0 ? 0 : text.indexOf('\n') + 1).trimEnd();
  } finally {
    closeSync(log);
  }
}
