import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  TimeoutFailure,
} from '@temporalio/common';
import { classify, decideRetry } from '../../workflows/retry';

/** As a workflow sees it: the cause inside the failure of the activity. */
function thrown(cause: Error): ActivityFailure {
  return new ActivityFailure(
    'failed',
    'executeStep',
    'a#1',
    'MAXIMUM_ATTEMPTS_REACHED',
    'w',
    cause,
  );
}
function application(type: string, nonRetryable = true): ApplicationFailure {
  return ApplicationFailure.create({ message: 'why', type, nonRetryable });
}

describe('classify', () => {
  it.each([
    ['a class of ours', application('oom'), 'oom'],
    ['silence', new TimeoutFailure('t', undefined, 'HEARTBEAT'), 'heartbeat'],
    ['a step that took too long', new TimeoutFailure('t', undefined, 'START_TO_CLOSE'), 'timeout'],
    ['nobody took it', new TimeoutFailure('t', undefined, 'SCHEDULE_TO_CLOSE'), 'node-lost'],
    ['a worker that goes down', new CancelledFailure('c'), 'preempted'],
    ['a shutdown made into a failure', application('WorkerShutdown', false), 'preempted'],
    ['an operator who resets the attempt', application('ActivityReset', false), 'preempted'],
    ['a step that the api refuses', application('INVALID_ARGUMENT'), 'data'],
    ['a node that the api refuses', application('UNAUTHENTICATED'), 'node-lost'],
    ['a bug of the step worker', application('TypeError', false), 'node-lost'],
  ])('%s', (_what, cause, failureClass) => {
    expect(classify(thrown(cause)).failureClass).toBe(failureClass);
  });

  it('keeps 2,000 characters of the reason', () => {
    const long = ApplicationFailure.create({ message: 'x'.repeat(5_000), type: 'crash' });
    expect(classify(thrown(long)).reason).toBe('x'.repeat(2_000));
  });
});

describe('decideRetry', () => {
  const node = { retry: { max: 2, on: ['crash' as const] } };
  const delays = (of: 'crash' | 'preempted', n: number): (number | undefined)[] =>
    Array.from({ length: n }, (_, count) => {
      const before =
        of === 'crash' ? { user: count, infrastructure: 99 } : { user: 99, infrastructure: count };
      const decision = decideRetry({ retry: { max: 50, on: ['crash'] } }, of, before);
      return decision.isRetried ? decision.delayMs / 1000 : undefined;
    });

  it('waits 1 s, 2 s, 4 s, … at most a minute for failures of the step', () => {
    expect(delays('crash', 8)).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
  });

  it('goes on at once after losses, slower when they repeat, and ends after 20', () => {
    const all = delays('preempted', 21);
    expect(all.slice(0, 5)).toEqual([0, 0, 1, 2, 4]);
    expect(all.filter((delay) => delay !== undefined)).toHaveLength(20);
    expect(all[20]).toBeUndefined();
  });

  it('keeps the two budgets apart', () => {
    expect(decideRetry(node, 'crash', { user: 1, infrastructure: 20 }).isRetried).toBe(true);
    expect(decideRetry(node, 'crash', { user: 2, infrastructure: 0 })).toEqual({
      isRetried: false,
      why: 'no retry left of 2',
    });
    expect(decideRetry(node, 'oom', { user: 0, infrastructure: 0 })).toEqual({
      isRetried: false,
      why: 'oom is not retried',
    });
    expect(decideRetry(node, 'node-lost', { user: 2, infrastructure: 19 }).isRetried).toBe(true);
  });
});
