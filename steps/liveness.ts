import type { HeartbeatSource } from '../schemas/plan';

/** How closely the silence is measured; timeouts are whole seconds. */
const LOOK_MS = 500;
/** So many times within the time allowed are the metrics asked for: each is a request. */
const METRIC_LOOKS = 4;
/** A step that declares no heartbeat may be silent for so long before people are told. */
const STALL_MS = 10 * 60_000;
const ALL_SOURCES: readonly HeartbeatSource[] = ['logs', 'metrics', 'status'];

export interface LivenessOptions {
  /** What the step has promised, if it did. */
  readonly heartbeat?:
    { readonly timeoutSeconds: number; readonly from: readonly HeartbeatSource[] } | undefined;
  /** Changes whenever the step logs metrics. */
  readonly readMetrics: () => Promise<string>;
  /** Hears since when a step without a promise is silent (ISO), or that it is so no longer. */
  readonly stalled: (since: string | undefined) => void;
  readonly stallMs?: number;
}

/** Watches for signs of life of a step's process: its heartbeat, besides the one of its worker. */
export class Liveness {
  private readonly options: LivenessOptions;
  private readonly sources: readonly HeartbeatSource[];
  private readonly limitMs: number;
  private heardAt = performance.now();
  private metricsAskedAt = performance.now();
  private metrics: string | undefined;
  private since: string | undefined;
  private timer: NodeJS.Timeout | undefined;
  private looking = false;

  constructor(options: LivenessOptions) {
    this.options = options;
    const { heartbeat, stallMs = STALL_MS } = options;
    this.sources = heartbeat?.from ?? ALL_SOURCES;
    this.limitMs = heartbeat === undefined ? stallMs : heartbeat.timeoutSeconds * 1000;
  }

  /** The step has given a sign of life. */
  heard(source: HeartbeatSource): void {
    if (!this.sources.includes(source)) return;
    this.heardAt = performance.now();
    if (this.since === undefined) return;
    this.since = undefined;
    this.options.stalled(undefined);
  }

  /** The process has begun; `silent` hears what was missing for how long if a promise is broken. */
  start(silent: (what: string) => void): void {
    this.heardAt = performance.now();
    this.metricsAskedAt = this.heardAt;
    this.timer = setInterval(() => {
      if (this.looking) return;
      this.looking = true;
      void this.look(silent).finally(() => {
        this.looking = false;
      });
    }, LOOK_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async look(silent: (what: string) => void): Promise<void> {
    const now = performance.now();
    const isDue = now - this.metricsAskedAt >= this.limitMs / METRIC_LOOKS;
    if (this.sources.includes('metrics') && isDue) {
      this.metricsAskedAt = now;
      await this.askMetrics();
    }
    if (performance.now() - this.heardAt < this.limitMs || this.since !== undefined) return;
    const { heartbeat } = this.options;
    if (heartbeat === undefined) {
      this.since = new Date(Date.now() - (performance.now() - this.heardAt)).toISOString();
      this.options.stalled(this.since);
    } else {
      this.stop();
      const { from, timeoutSeconds } = heartbeat;
      silent(`it gave no sign of life (${from.join(', ')}) for ${timeoutSeconds} s`);
    }
  }

  private async askMetrics(): Promise<void> {
    const before = this.metrics;
    try {
      this.metrics = await this.options.readMetrics();
      if (before !== undefined && this.metrics !== before) this.heard('metrics');
    } catch {
      this.heard('metrics'); // nobody can tell: an api that is down must not end a training
    }
  }
}
