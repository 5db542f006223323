import { stepFailure, untilAborted, type StepBody } from './workflow-lab';

/** A step body that runs until it is released or stopped, and a promise of its begin. */
export interface Gate {
  readonly body: StepBody;
  readonly begun: Promise<void>;
  readonly open: (fails?: boolean) => void;
}

/** Once it is released the step does what `then` does, or fails. */
export function gate(then: StepBody = () => Promise.resolve({})): Gate {
  let open: Gate['open'] = () => undefined;
  let begin: () => void = () => undefined;
  const opened = new Promise<boolean>((resolve) => {
    open = (fails = false) => {
      resolve(fails);
    };
  });
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const body: StepBody = async (input, signal) => {
    begin();
    const fails = await Promise.race([opened, untilAborted(signal)]);
    if (signal.aborted) throw stepFailure('preempted', 'stopped');
    if (fails === true) throw stepFailure('data', 'no rows');
    return then(input, signal);
  };
  return { body, begun, open };
}
