import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadyStack } from '../../dev/main';

const ROOT = join(__dirname, '..', '..');
const WAIT_MS = 45_000;

/** `anneal dev` as its own process, as a person starts it. */
export interface DevProcess {
  readonly child: ChildProcess;
  /** What `--ready-json` prints; rejects with stderr if the process ends first. */
  readonly ready: Promise<ReadyStack>;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  stderr(): string;
}

/** Brings dist/ up to date: the stack runs what is built. */
export function buildOnce(): void {
  const build = spawnSync(process.execPath, [join(ROOT, 'scripts/build.mjs')], {
    encoding: 'utf8',
  });
  if (build.status !== 0) throw new Error(build.stderr);
}

/** Starts it with these flags and no settings of the shell but PATH and HOME. */
export function startDev(
  flags: readonly string[],
  env: Record<string, string> = {},
  within: readonly string[] = [], // a command that runs the one behind it
): DevProcess {
  const dev = [process.execPath, join(ROOT, 'dist/cli/main.js'), 'dev', '--ready-json'];
  const { PATH, HOME } = process.env;
  const [file = '', ...args] = [...within, ...dev, ...flags];
  const child = spawn(file, args, {
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('close', (code, signal) => {
      resolve({ code, signal });
    });
  });
  const ready = new Promise<ReadyStack>((resolve, reject) => {
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      if (stdout.endsWith('\n')) resolve(JSON.parse(stdout) as ReadyStack);
    });
    void ended.then(() => {
      reject(new Error(`it ended before it was ready: ${stderr}`));
    });
  });
  ready.catch(() => undefined); // some tests only look at its end
  return { child, ready, ended, stderr: () => stderr };
}

/** Waits until it holds; says what was awaited if it does not come to pass. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (Date.now() < deadline) {
    if (await holds()) return;
    await sleep(50);
  }
  throw new Error(`in vain: ${what}`);
}

/** True while the process exists and is more than an entry that nobody has collected. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !stat.slice(stat.lastIndexOf(')')).startsWith(') Z');
  } catch {
    return false;
  }
}
