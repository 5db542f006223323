import { CancellationScope, continueAsNew, defineSignal, setHandler } from '@temporalio/workflow';
import {
  CONTROL_SEGMENT_SIGNAL,
  type ControlRun,
  type RunSegmentInput,
  type SegmentResult,
} from './contract';
import { Interpreter } from './interpreter';
import { loadSegment } from './proxies';

export const controlSegment = defineSignal<[ControlRun]>(CONTROL_SEGMENT_SIGNAL);

/** One part of a run that is too large for one workflow; its siblings run at the same time. */
export async function runSegment(input: RunSegmentInput): Promise<SegmentResult> {
  const cancelRequested = CancellationScope.current().cancelRequested;
  // a cancelled part still writes its end, so only the steps are in a scope that can be cancelled
  return CancellationScope.nonCancellable(async () => {
    const { projectId, runId, segment, carried } = input;
    const loaded = await loadSegment({ projectId, runId, segment });
    const interpreter = new Interpreter(input, loaded, carried);
    setHandler(controlSegment, (control) => {
      interpreter.control(control); // what cannot be done was refused by the run's own workflow
    });
    cancelRequested.catch(() => {
      interpreter.cancel();
    });
    const interpreted = await interpreter.interpret();
    if (interpreted.isDone) return interpreted.result;
    return continueAsNew<typeof runSegment>({ ...input, carried: interpreted.carried });
  });
}
