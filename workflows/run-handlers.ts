import type { RunOutcome } from '../schemas/graph';
import type { CarriedState, ControlRun, SegmentResult } from './contract';
import { Interpreter, type Interpreted, type InterpretedRun } from './interpreter';
import { beginHandlers } from './proxies';

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
 * recorded like any other, and a cancel of the run does not reach them.
 */
export async function runHandlers(
  run: InterpretedRun,
  end: RunEnd,
  going: {
    readonly carried: CarriedState | undefined;
    readonly steer: (apply: (control: ControlRun) => string | undefined) => void;
  },
): Promise<Interpreted> {
  const { projectId, runId } = run;
  const { status, reason = '' } = end;
  const segment = await beginHandlers({ projectId, runId, status, reason });
  const interpreter = new Interpreter(run, segment, going.carried);
  going.steer((control) => interpreter.control(control));
  return interpreter.interpret();
}
