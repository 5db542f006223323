/** Looks at something again and again, never twice at once, and once more at the end. */
export class Looks {
  private readonly look: (told: { readonly isLast: boolean }) => Promise<void>;
  private readonly everyMs: number;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;

  constructor(look: (told: { readonly isLast: boolean }) => Promise<void>, everyMs: number) {
    this.look = look;
    this.everyMs = everyMs;
  }

  start(): void {
    this.timer = setInterval(() => {
      this.looking ??= this.look({ isLast: false }).finally(() => {
        this.looking = undefined;
      });
    }, this.everyMs);
  }

  /** Waits for a look that is under way and takes the last one. */
  async finish(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
    await this.look({ isLast: true });
  }
}
