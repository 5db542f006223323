import type { RunOutcome } from '../schemas/graph';
import type { CarriedState, SegmentResult } from './contract';
import { Interpreter, type Interpreted, type InterpretedRun } from './interpreter';
import { beginHandlers } from './proxies';
import type { Steering } from './steering';

/** How the steps of a run ended, and the words for it. */
export interface RunEnd {
  readonly status: RunOutcome;
  readonly reason?: string;
}

/** The end of a run by the ends of its steps; its handlers change nothing of it. */
export function endOf({ isCancelled, failed }: SegmentResult): RunEnd {
  const [first] = failed;
  if (isCancelled) return { status: 'cancelled' };
  if (first === undefined) return { status: 'succeeded' };
  return { status: 'failed', reason: `${first.key}: ${first.reason ?? ''}` };
}

/**
 * Runs the exit handlers of a run whose steps have ended. They are steps of their own: a failed one is
 * recorded like any other. A pause of the run holds them, too; a cancel ends that pause, and does not
 * reach them otherwise.
 */
export async function runHandlers(
  run: InterpretedRun,
  end: RunEnd,
  going: { readonly carried: CarriedState | undefined; readonly steering: Steering },
): Promise<Interpreted> {
  const { projectId, runId } = run;
  const { status, reason = '' } = end;
  const { carried, steering } = going;
  steering.steer(undefined); // the steps take no change any more
  await steering.written(); // a cancel that has ended a pause
  const segment = await beginHandlers({ projectId, runId, status, reason });
  const interpreter = new Interpreter({ ...run, priority: steering.priority() }, segment, carried);
  const holdOrGoOn = (): void => {
    const action = steering.isPaused() ? 'pause' : 'continue';
    interpreter.control({ action, actor: 'run', reason: '' });
  };
  holdOrGoOn();
  steering.cancelRequested.catch(async () => {
    await steering.written();
    holdOrGoOn();
  });
  steering.steer((control) => interpreter.control(control));
  return interpreter.interpret();
}
