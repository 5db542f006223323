import { ApplicationFailure } from '@temporalio/common';
import {
  CancellationScope,
  condition,
  defineUpdate,
  patched,
  setHandler,
} from '@temporalio/workflow';
import {
  CONTROL_RUN_UPDATE,
  controlProblem,
  PRIORITY_DEFAULT,
  type ControlRun,
  type RunPipelineInput,
} from './contract';
import { recordControl } from './proxies';

const PAUSED_TOO_LATE =
  'the run was cancelled, so nothing of it is paused: skip a handler that must not run';
const RELEASED = { action: 'continue', actor: 'anneal', reason: 'the run was cancelled' } as const;
/** Older histories write no change and keep none for parts that have not started. */
export const WRITTEN_CONTROLS = 'controls-are-written';
/** Answers true once the run has taken it. */
export const controlRunUpdate = defineUpdate<boolean, [ControlRun]>(CONTROL_RUN_UPDATE);

/** Does what somebody asks for; says in words why it cannot be done. */
export type ApplyControl = (
  control: ControlRun,
) => string | undefined | Promise<string | undefined>;
/** How a run is stopped and steered from outside. */
export interface Steering {
  readonly cancelRequested: Promise<never>;
  /** Somebody has paused the run and it was not cancelled since. */
  readonly isPaused: () => boolean;
  /** 1 (first) to 5, as it is now. */
  readonly priority: () => number;
  /** Says who applies changes from here on; while nobody does, they wait. */
  readonly steer: (apply: ApplyControl | undefined) => void;
  /** Resolves when all that was changed up to now is written. */
  readonly written: () => Promise<void>;
}

interface SteeredRun {
  readonly projectId: string;
  readonly runId: string;
}

/**
 * Lets the run be steered from its first moment on, also when it is cancelled: a change that comes
 * while there is nothing to steer waits. Changes are taken one after the other, and each is written
 * before it is answered: what is written holds attempts that already wait for a worker.
 */
export function answerControls(run: SteeredRun, input: RunPipelineInput): Steering {
  const { cancelRequested } = CancellationScope.current();
  const steered = new SteeredState(run, input);
  setHandler(
    controlRunUpdate,
    (control) => CancellationScope.nonCancellable(() => steered.take(control)),
    { validator: refuse },
  );
  cancelRequested.catch(() => {
    CancellationScope.nonCancellable(() => steered.cancel()).catch(() => undefined);
  });
  return {
    cancelRequested,
    isPaused: () => steered.isPaused,
    priority: () => steered.priority,
    steer: (apply) => (steered.apply = apply),
    written: () => steered.written,
  };
}

class SteeredState {
  apply: ApplyControl | undefined; // first the steps, then the handlers
  isPaused: boolean;
  priority: number;
  /** The end of all writes up to now, whether they succeeded or not. */
  written: Promise<void> = Promise.resolve();
  private readonly run: SteeredRun;
  private isCancelled = false;
  private turn: Promise<unknown> = Promise.resolve();
  private lastMs = 0;

  constructor(run: SteeredRun, { carried, priority = PRIORITY_DEFAULT }: RunPipelineInput) {
    this.run = run;
    this.isPaused = carried?.isPaused ?? false;
    this.priority = carried?.priority ?? priority;
  }

  /** One change after the other, so that they are written in the order in which they were made. */
  take(control: ControlRun): Promise<boolean> {
    const taken = this.turn.then(() => this.change(control));
    this.turn = taken.catch(() => undefined);
    return taken;
  }

  /** A cancelled run is not paused any more: its handlers go on. */
  async cancel(): Promise<void> {
    const wasPaused = this.isPaused;
    this.isCancelled = true;
    this.isPaused = false;
    if (wasPaused) await this.write(RELEASED);
  }

  private async change(control: ControlRun): Promise<boolean> {
    await condition(() => this.apply !== undefined);
    const { action } = control;
    if (action === 'pause') this.assertNotCancelled();
    // what was held may begin as soon as that is written, so it is the last thing that a pause
    // and the first thing that its end does
    if (action === 'continue') await this.write(control);
    if (action === 'pause' || action === 'continue') this.isPaused = action === 'pause';
    // when a run is due changes nothing among its own steps
    const problem = action === 'deadline' ? undefined : await this.apply?.(control);
    if (problem !== undefined) throw ApplicationFailure.nonRetryable(problem, 'INVALID_STATE');
    if (action === 'priority') this.priority = control.priority;
    if (action === 'pause') this.assertNotCancelled();
    if (action !== 'continue') await this.write(control);
    return true;
  }

  private assertNotCancelled(): void {
    if (!this.isCancelled) return;
    throw ApplicationFailure.nonRetryable(PAUSED_TOO_LATE, 'INVALID_STATE');
  }

  private async write(control: ControlRun): Promise<void> {
    if (!patched(WRITTEN_CONTROLS)) return;
    this.lastMs = Math.max(this.lastMs + 1, Date.now());
    const atMs = this.lastMs;
    const written = this.written.then(() => recordControl({ ...this.run, control, atMs }));
    this.written = written.catch(() => undefined);
    await written;
  }
}

function refuse(control: ControlRun): void {
  const problem = controlProblem(control);
  if (problem !== undefined) throw ApplicationFailure.nonRetryable(problem, 'INVALID_ARGUMENT');
}
