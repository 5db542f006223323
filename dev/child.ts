import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a supervised process is: how to start it, and when it is ready. */
export interface ChildSpec {
  readonly name: string;
  /** Spawns it in a process group of its own. */
  start(): ChildProcess | Promise<ChildProcess>;
  /** Resolves once it serves; gives up when the signal aborts. */
  ready(child: ChildProcess, signal: AbortSignal): Promise<void>;
  readonly stopSignal: NodeJS.Signals;
  /** The first start is tried again this long (ms): what an earlier run left may be in the way. */
  readonly retryFirstMs: number;
}
/** A killed child is back at once; one that keeps failing is tried every five seconds. */
const BACKOFF_MS = { first: 100, most: 5_000 };
/** A child that lived this long was healthy: the next back-off starts anew. */
const HEALTHY_MS = 10_000;
/** Longer means broken: see the child's log. */
const READY_TIMEOUT_MS = 60_000;
/** A child that never became ready has nothing to say good-bye to. */
const GIVE_UP_GRACE_MS = 2_000;

/** Keeps one child process up until it is stopped. */
export class SupervisedChild {
  readonly name: string;
  readonly #spec: ChildSpec;
  readonly #onEvent: (event: string) => void;
  readonly #stopping = new AbortController();
  #child: ChildProcess | undefined;
  #starting: Promise<unknown> = Promise.resolve();
  #keeping: Promise<void> = Promise.resolve();

  /** `onEvent` hears `started`, `ready again` and what went wrong. */
  constructor(spec: ChildSpec, onEvent: (event: string) => void) {
    this.name = spec.name;
    this.#spec = spec;
    this.#onEvent = onEvent;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts it and waits until it is ready; from then on it is restarted whenever it ends. */
  async start(): Promise<void> {
    const started = this.#startFirst();
    this.#starting = started.catch(() => undefined);
    await started;
  }

  async #startFirst(): Promise<void> {
    const deadline = Date.now() + this.#spec.retryFirstMs;
    const began = Date.now();
    for (;;) {
      try {
        const child = await this.#launch();
        this.#keeping = this.#keep(child, began);
        return;
      } catch (error) {
        if (Date.now() > deadline || this.#stopping.signal.aborted) throw error;
        await this.#pause(BACKOFF_MS.first);
      }
    }
  }

  /** Asks it to end, ends it by force after the grace (ms), and keeps it so. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort(new Error(`${this.name} is being stopped`));
    if (this.#child !== undefined) await this.#end(this.#child, graceMs);
    await this.#starting; // it may be about to spawn: then it ends that itself
    await this.#keeping;
  }

  /** Ends it at once, without a word. */
  kill(): void {
    this.#stopping.abort(new Error(`${this.name} is being stopped`));
    if (this.#child !== undefined) killGroup(this.#child);
  }

  async #keep(first: ChildProcess, firstBegan: number): Promise<void> {
    let began = firstBegan;
    let backoffMs = BACKOFF_MS.first;
    let child: ChildProcess | undefined = first;
    for (;;) {
      if (child !== undefined) {
        const how = await ending(child);
        killGroup(child);
        if (this.#stopping.signal.aborted) return;
        this.#onEvent(`ended (${how}), restarting`);
        if (Date.now() - began > HEALTHY_MS) backoffMs = BACKOFF_MS.first;
      }
      await this.#pause(backoffMs);
      if (this.#stopping.signal.aborted) return;
      backoffMs = Math.min(backoffMs * 2, BACKOFF_MS.most);
      began = Date.now();
      child = await this.#launch().catch((error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        if (!this.#stopping.signal.aborted) this.#onEvent(`did not start: ${why}`);
        return undefined;
      });
      if (child !== undefined) this.#onEvent('ready again');
    }
  }

  /** Spawns it and waits until it is ready; leaves no process behind when that fails. */
  async #launch(): Promise<ChildProcess> {
    this.#stopping.signal.throwIfAborted();
    const child = await this.#spec.start();
    this.#child = child;
    this.#onEvent('started');
    const ended = new AbortController();
    void ending(child).then((how) => {
      ended.abort(new Error(`it ended (${how})`));
    });
    const late = AbortSignal.timeout(READY_TIMEOUT_MS);
    const signal = AbortSignal.any([this.#stopping.signal, ended.signal, late]);
    try {
      await Promise.race([this.#spec.ready(child, signal), rejection(signal)]);
      signal.throwIfAborted();
      return child;
    } catch (error) {
      await this.#end(child, GIVE_UP_GRACE_MS);
      throw late.aborted ? new Error(`not ready within ${READY_TIMEOUT_MS / 1000} s`) : error;
    }
  }

  async #end(child: ChildProcess, graceMs: number): Promise<void> {
    const timer = setTimeout(() => {
      killGroup(child);
    }, graceMs);
    if (isRunning(child)) child.kill(this.#spec.stopSignal);
    await ending(child);
    clearTimeout(timer);
    killGroup(child);
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

/** How it ended, once it has; a program that could not be started has ended too. */
async function ending(child: ChildProcess): Promise<string> {
  if (isRunning(child)) await new Promise((resolve) => child.once('exit', resolve));
  if (child.pid === undefined) return 'the program cannot be started';
  return child.signalCode ?? `code ${child.exitCode ?? '?'}`;
}

/** Ends the child and whatever it left in its process group. */
function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // nobody is left
  }
}

async function rejection(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort');
  throw signal.reason;
}
