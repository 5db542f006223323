import { stepFailure, untilAborted, type StepBody } from './workflow-lab';

/** A step body that runs until it is released or stopped, and a promise of its begin. */
export function gate(): { body: StepBody; begun: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  let begin: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const body: StepBody = async (_input, signal) => {
    begin();
    await Promise.race([opened, untilAborted(signal)]);
    if (signal.aborted) throw stepFailure('preempted', 'stopped');
    return {};
  };
  return { body, begun, open };
}
