import {
  CancellationScope,
  getExternalWorkflowHandle,
  patched,
  startChild,
} from '@temporalio/workflow';
import { RUN_SEGMENT, segmentWorkflowId, type ControlRun, type SegmentResult } from './contract';
import type { InterpretedRun } from './interpreter';
import { controlSegment, type runSegment } from './run-segment';
import { WRITTEN_CONTROLS, type Steering } from './steering';

/** All parts at once: each waits by itself for what it needs of the others. */
export async function interpretParts(
  run: InterpretedRun,
  segments: number,
  { cancelRequested, steer }: Steering,
): Promise<SegmentResult> {
  const scope = new CancellationScope();
  cancelRequested.catch(() => {
    scope.cancel();
  });
  const parts = Array.from({ length: segments }, (_, segment) => new Part(run, segment));
  steer(async (control) => {
    const told = await Promise.all(parts.map((part) => part.tell(control)));
    if (control.action !== 'skip' && control.action !== 'retry') return undefined;
    const { part, stepKey } = control;
    return part === undefined || told[part] === true
      ? undefined
      : `the part of the run that holds '${stepKey}' has ended: resume the run when all of it has`;
  });
  const results = await scope.run(() => Promise.all(parts.map((part) => part.interpret())));
  return {
    isCancelled: results.some(({ isCancelled }) => isCancelled),
    failed: results.flatMap(({ failed }) => failed),
  };
}

/** One part of a run, seen from the run's own workflow. */
class Part {
  private readonly run: InterpretedRun;
  private readonly segment: number;
  /** What it is to hear when it has started; undefined from then on. */
  private kept: ControlRun[] | undefined = [];

  constructor(run: InterpretedRun, segment: number) {
    this.run = run;
    this.segment = segment;
  }

  async interpret(): Promise<SegmentResult> {
    const { run, segment } = this;
    try {
      const child = await startChild<typeof runSegment>(RUN_SEGMENT, {
        workflowId: segmentWorkflowId(run.runId, segment),
        args: [{ ...run, segment }],
        staticSummary: `${run.pipeline}, part ${segment + 1}`,
      });
      await this.tellKept();
      return await child.result();
    } catch (error) {
      if (CancellationScope.current().consideredCancelled) return { isCancelled: true, failed: [] };
      const { reason } = explain(error);
      return {
        isCancelled: false,
        failed: [{ key: `part ${segment + 1}`, end: 'failed', reason }],
      };
    }
  }

  /** Tells it of a change, or keeps it until the part has started; false if the part has ended. */
  async tell(control: ControlRun): Promise<boolean> {
    if (this.kept === undefined || !patched(WRITTEN_CONTROLS)) return this.signal(control);
    this.kept.push(control);
    return true;
  }

  private async tellKept(): Promise<void> {
    for (let next = this.kept?.shift(); next !== undefined; next = this.kept?.shift()) {
      await this.signal(next); // what comes meanwhile stands behind it
    }
    this.kept = undefined;
  }

  private async signal(control: ControlRun): Promise<boolean> {
    const id = segmentWorkflowId(this.run.runId, this.segment);
    try {
      await getExternalWorkflowHandle(id).signal(controlSegment, control);
      return true;
    } catch {
      return false;
    }
  }
}

/** What lies behind a failure that the SDK wrapped, and its words. */
export function explain(error: unknown): { readonly cause: unknown; readonly reason: string } {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return { cause, reason: cause instanceof Error ? cause.message : String(cause) };
}
