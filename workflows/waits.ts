import { condition, sleep } from '@temporalio/workflow';

/**
 * Steps that wait until another step has done the same work. They have begun nothing: when the
 * workflow goes on in a new history they are held here and ask anew there.
 */
export class Waits {
  /** The run is paused: no wait ends. */
  isPaused = false;
  private readonly keys = new Set<string>();
  private readonly onWait: () => void;
  private isHeld = false;

  constructor(onWait: () => void) {
    this.onWait = onWait;
  }

  /** Waits, also through restarts of everything; throws if the step is cancelled meanwhile. */
  async pause(key: string, delayMs: number): Promise<void> {
    this.keys.add(key);
    this.onWait();
    try {
      await sleep(delayMs);
      await condition(() => !this.isHeld && !this.isPaused);
    } finally {
      this.keys.delete(key);
    }
  }

  /** True if each of these steps only waits. */
  haveAll(keys: readonly string[]): boolean {
    return keys.every((key) => this.keys.has(key));
  }

  /** From here on no wait ends: a new history is about to begin. */
  hold(): void {
    this.isHeld = true;
  }
}
