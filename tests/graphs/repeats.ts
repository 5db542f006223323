import { all, file, value, type Shape } from './shape';

/** Two sub-pipelines, one at a time, with three items each, of which half must succeed. */
export function nestedForeach(): Shape {
  const steps = `steps:
  sweep:
    foreach: { lr: '[0.1, 0.2]' }
    parallel: 1
    steps:
      fit: { run: x, foreach: { seed: '[1, 2, 3]' }, min_success: 0.5, retry: { max: 0 } }
      best: { run: x, after: [fit] }
  pick: { run: x, after: [sweep] }`;
  const lost = { failures: ['crash'] } as const;
  return {
    plan: file(steps),
    behaviours: { 'sweep[0].fit[1]': lost, 'sweep[1].fit[0]': lost, 'sweep[1].fit[2]': lost },
    status: 'failed',
    steps: {
      // two of three are enough, one of three is not
      ...all(
        'succeeded',
        'sweep[0].fit[0] sweep[0].fit[2] sweep[0].best sweep[1].fit[1] sweep[1]#begin',
      ),
      ...all('failed', 'sweep[0].fit[1] sweep[1].fit[0] sweep[1].fit[2]'),
      ...all('skipped', 'sweep[1].best pick'),
    },
  };
}

/** "Over an empty list of a step nothing runs, and what follows goes on." */
export function lateForeach(): Shape {
  const steps = `steps:
  list: { run: x, outputs: { v: value } }
  none: { run: x, outputs: { v: value } }
  each: { run: x, foreach: { i: steps.list.outputs.v }, parallel: 2 }
  empty: { run: x, foreach: { i: steps.none.outputs.v } }
  last: { run: x, after: [each, empty] }`;
  const keys = 'list none each each[0] each[1] each[2] empty last';
  return {
    plan: file(steps),
    behaviours: { list: value(['a', 'b', 'c']), none: value([]) },
    status: 'succeeded',
    steps: all('succeeded', keys),
  };
}

/** Four of five are 0.8: enough for 0.75. One whose condition is false does not count. */
export function minSuccess(): Shape {
  const steps = `steps:
  train:
    run: x
    foreach: { i: '[0, 1, 2, 3, 4, 5]' }
    if: item.i != 5
    min_success: 0.75
    retry: { max: 0 }
  report: { run: x, after: [train] }`;
  return {
    plan: file(steps),
    behaviours: { 'train[2]': { failures: ['oom'] } },
    status: 'succeeded',
    steps: {
      ...all('succeeded', 'train[0] train[1] train[3] train[4] report'),
      ...all('failed', 'train[2]'),
      ...all('skipped', 'train[5]'),
    },
  };
}

/** "No new item starts after so many failures of one class and reason": the third one is of another. */
export function stopAfter(): Shape {
  const steps = `steps:
  train:
    run: x
    foreach: { i: '[0, 1, 2, 3, 4, 5]' }
    parallel: 1
    stop_after: 2
    retry: { max: 0 }`;
  return {
    plan: file(steps),
    behaviours: {
      'train[0]': { failures: ['crash'] },
      'train[1]': { failures: ['data'] },
      'train[3]': { failures: ['crash'] },
    },
    status: 'failed',
    steps: {
      ...all('failed', 'train[0] train[1] train[3]'),
      ...all('succeeded', 'train[2]'),
      ...all('skipped', 'train[4] train[5]'),
    },
  };
}

/** Two lost attempts cost nothing, one crash costs the only retry; `data` is not in `on`. */
export function retries(): Shape {
  const steps = `steps:
  flaky: { run: x, retry: { max: 1, on: [crash] } }
  hopeless: { run: x, retry: { max: 1, on: [crash] } }
  wrong: { run: x, retry: { max: 2, on: [crash] } }
  use: { run: x, after: [flaky] }
  lost: { run: x, after: [hopeless] }`;
  return {
    plan: file(steps),
    behaviours: {
      flaky: { failures: ['preempted', 'crash', 'node-lost'] },
      hopeless: { failures: ['crash', 'crash'] },
      wrong: { failures: ['data'] },
    },
    status: 'failed',
    steps: {
      ...all('succeeded', 'flaky use'),
      ...all('failed', 'hopeless wrong'),
      ...all('skipped', 'lost'),
    },
  };
}
