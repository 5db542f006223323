import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a supervised process is: how to start it, and when it is ready. */
export interface ChildSpec {
  readonly name: string;
  start(): Promise<ChildProcess> | ChildProcess;
  /** Resolves once it serves; rejects or never resolves otherwise. */
  ready(child: ChildProcess): Promise<void>;
  readonly stopSignal: NodeJS.Signals;
}
/** A killed child is back at once; one that keeps failing is tried every five seconds. */
const BACKOFF_MS = { first: 100, most: 5_000 };
/** A child that lived this long was healthy: the next back-off starts anew. */
const HEALTHY_MS = 10_000;
/** Then it is killed: nothing of ours needs longer, and nothing acknowledged depends on it. */
const STOP_TIMEOUT_MS = 6_000;

/** Keeps one child process up until it is stopped. */
export class SupervisedChild {
  private child: ChildProcess | undefined;
  private stopping = false;
  private backoffMs: number = BACKOFF_MS.first;
  private readonly spec: ChildSpec;
  private readonly onChange: (event: string) => void;

  constructor(spec: ChildSpec, onChange: (event: string) => void) {
    this.spec = spec;
    this.onChange = onChange;
  }

  get name(): string {
    return this.spec.name;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Starts it and waits until it is ready; from then on it is restarted whenever it ends. */
  async start(): Promise<void> {
    const began = Date.now();
    const child = await this.spec.start();
    this.child = child;
    this.onChange('started');
    const ended = new Promise<never>((_, refuse) => {
      child.once('exit', (code, signal) => {
        refuse(new Error(`${this.spec.name} ended (${signal ?? `code ${code ?? '?'}`})`));
      });
    });
    ended.catch(() => undefined);
    await Promise.race([this.spec.ready(child), ended]);
    child.once('exit', (code, signal) => void this.restart(began, signal ?? `code ${code ?? '?'}`));
    if (child.exitCode !== null || child.signalCode !== null) void this.restart(began, 'at once');
  }

  private async restart(began: number, how: string): Promise<void> {
    if (this.stopping) return;
    this.onChange(`ended (${how}), restarting`);
    if (Date.now() - began > HEALTHY_MS) this.backoffMs = BACKOFF_MS.first;
    for (;;) {
      await sleep(this.backoffMs);
      this.backoffMs = Math.min(this.backoffMs * 2, BACKOFF_MS.most);
      if (this.isStopping()) return;
      try {
        await this.start();
        this.onChange('ready again');
        return;
      } catch (error) {
        this.onChange(`did not start: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  /** Asks it to end, then ends it. */
  async stop(): Promise<void> {
    this.stopping = true;
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(this.spec.stopSignal);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }

  /** Read anew after every wait: `stop` may have been called meanwhile. */
  private isStopping(): boolean {
    return this.stopping;
  }
}

/** Starts a program with exactly this environment, in a process group of its own (Ctrl-C is ours). */
export function spawnProgram(
  command: readonly string[],
  options: { readonly env: Readonly<Record<string, string>>; readonly log: number },
): ChildProcess {
  const [file = '', ...args] = command;
  return spawn(file, args, {
    env: { ...options.env },
    detached: true,
    stdio: ['ignore', 'pipe', options.log],
  });
}
