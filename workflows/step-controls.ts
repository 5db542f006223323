import type { CancellationScope } from '@temporalio/workflow';
import type { ReadyQueue } from '../dag/ready-queue';
import type { GraphNode } from '../schemas/graph';
import type { ControlRun } from './contract';
import type { Stopped } from './run-step';
import type { TransitionLog } from './transition-log';

/** What changes of single steps need of the interpreter that runs them. */
export interface SteeredSteps {
  readonly queue: ReadyQueue;
  readonly log: TransitionLog;
  /** Settles a step that never ran, and what ends with it. */
  readonly settle: (key: string, end: 'skipped', reason: string) => void;
  readonly hasRow: (node: GraphNode) => boolean;
  /** The last attempt of a step that has failed; 0 for others. */
  readonly attemptOf: (key: string) => number;
}

/** Skips steps and runs them again, because somebody asks for it. */
export class StepControls {
  /** True while rows of steps that are open again are still to be written. */
  isReopening = false;
  private readonly steps: SteeredSteps;
  private readonly scopes = new Map<string, CancellationScope>(); // of steps under way
  private readonly skips = new Map<string, string>(); // steps that somebody skips, and why

  constructor(steps: SteeredSteps) {
    this.steps = steps;
  }

  begun(key: string, scope: CancellationScope): void {
    this.scopes.set(key, scope);
  }
  ended(key: string): void {
    this.scopes.delete(key);
  }

  /** Skips a step or runs it again; says in words why it cannot be done. */
  control(control: ControlRun & { readonly action: 'skip' | 'retry' }): string | undefined {
    const { action, stepKey: key } = control;
    const node = this.steps.queue.nodeOf(key);
    if (node === undefined) return `there is no step '${key}'`;
    if (node.kind === 'join') return `'${key}' holds steps: name one of them`;
    return action === 'skip' ? this.skip(key, by(control)) : this.retry(key, by(control));
  }

  /** Why a step that is under way is skipped, if somebody has asked for it. */
  whySkipped(key: string): string | undefined {
    return this.skips.get(key);
  }

  /** Why a step whose scope was cancelled has stopped. */
  whyStopped(key: string): Stopped {
    const skipped = this.skips.get(key);
    if (skipped === undefined) return { end: 'cancelled', reason: 'the run was cancelled' };
    return { end: 'skipped', reason: skipped };
  }

  private skip(key: string, why: string): string | undefined {
    const { queue, log, settle } = this.steps;
    const end = queue.endOf(key);
    if (end !== undefined) return `the step '${key}' has already ended: ${end}`;
    const reason = `skipped ${why}`;
    const scope = this.scopes.get(key);
    if (scope === undefined) {
      log.add({ stepKey: key, attempt: 0, state: 'skipped', reason });
      settle(key, 'skipped', reason);
    } else {
      this.skips.set(key, reason); // it ends when its process has stopped
      scope.cancel();
    }
    return undefined;
  }

  private retry(key: string, why: string): string | undefined {
    const { queue, log, hasRow, attemptOf } = this.steps;
    const end = queue.endOf(key);
    if (end !== 'failed') return `the step '${key}' has not failed: ${end ?? 'not ended yet'}`;
    this.isReopening = true;
    for (const opened of queue.reopen(key)) {
      const node = queue.nodeOf(opened);
      if (node === undefined || !hasRow(node)) continue;
      const attempt = attemptOf(opened);
      log.add({ stepKey: opened, attempt, state: 'reopened', reason: `run again ${why}` });
    }
    return undefined;
  }
}

function by({ actor, reason }: ControlRun): string {
  return reason === '' ? `by ${actor}` : `by ${actor}: ${reason}`;
}
