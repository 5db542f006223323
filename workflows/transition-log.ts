import { condition } from '@temporalio/workflow';
import type { StepStatus } from '../schemas/pipeline-runs';
import type { RecordedTransition } from '../storage/postgres/transitions';
import { recordTransitions } from './proxies';

/** What a step went into. */
export type TransitionState =
  'ready' | 'started' | 'retrying' | 'succeeded' | 'failed' | 'skipped' | 'cancelled' | 'reopened';
export interface AddTransition {
  readonly stepKey: string;
  readonly attempt: number;
  readonly state: TransitionState;
  readonly reason?: string | undefined;
  readonly failureClass?: string;
  readonly isLost?: boolean;
}

/** What a step shows after a transition. */
const STATUS: Readonly<Record<TransitionState, StepStatus>> = {
  ready: 'waiting',
  started: 'running',
  retrying: 'retrying',
  succeeded: 'succeeded',
  failed: 'failed',
  skipped: 'skipped',
  cancelled: 'cancelled',
  reopened: 'waiting',
};
/** Keeps one batch's input below 1 MiB even with the longest reasons. */
const BATCH_MAX = 400;

/**
 * Transitions on their way to Postgres: one batch at a time, so that they arrive in order; what
 * comes up meanwhile makes the next batch.
 */
export class TransitionLog {
  private readonly run: { readonly projectId: string; readonly runId: string };
  private readonly pending: RecordedTransition[] = [];
  private isWriting = false;
  private failure: unknown;

  constructor(run: { readonly projectId: string; readonly runId: string }) {
    this.run = run;
  }

  add(transition: AddTransition): void {
    const { stepKey, attempt, state, reason, failureClass, isLost = false } = transition;
    const status = STATUS[state];
    this.pending.push({
      stepKey,
      attempt,
      state,
      status,
      reason,
      failureClass,
      isLost,
      atMs: Date.now(),
    });
  }

  /** True when `flush` has something to do: a batch waits and none is being written. */
  get canFlush(): boolean {
    return !this.isWriting && (this.pending.length > 0 || this.failure !== undefined);
  }
  /** True when everything is written. */
  get isEmpty(): boolean {
    return !this.isWriting && this.pending.length === 0 && this.failure === undefined;
  }

  /** Begins to write the next batch, if one can begin; throws what made writing impossible. */
  flush(): void {
    if (this.failure !== undefined) throw this.failure as Error;
    if (!this.canFlush) return;
    this.isWriting = true;
    recordTransitions({ ...this.run, transitions: this.pending.splice(0, BATCH_MAX) })
      .catch((error: unknown) => {
        this.failure = error;
      })
      .finally(() => {
        this.isWriting = false;
      });
  }

  /** Writes all that waits. */
  async drain(): Promise<void> {
    while (!this.isEmpty) {
      this.flush();
      await condition(() => this.canFlush || this.isEmpty);
    }
  }
}
