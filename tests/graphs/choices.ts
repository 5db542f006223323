import { all, file, value, type Shape } from './shape';

/** "Skipped if its `if` is false, or if all that it needs were skipped." */
export function condition(): Shape {
  const steps = `steps:
  score: { run: x, outputs: { v: value } }
  good: { run: x, if: steps.score.outputs.v > 0.8 }
  after-good: { run: x, after: [good] }
  anyway: { run: x, after: [score, good] }`;
  return {
    plan: file(steps),
    behaviours: { score: value(0.4) },
    status: 'succeeded',
    steps: { ...all('succeeded', 'score anyway'), ...all('skipped', 'good after-good') },
  };
}

/** "The steps of an `else` run where its `if` is false. What follows one branch is skipped with it." */
export function branches(): Shape {
  const steps = `params: { rows: 5000 }
steps:
  small:
    if: params.rows < 1000
    run: x
    else:
      large: { run: x }
  after-small: { run: x, after: [small] }
  after-large: { run: x, after: [large] }`;
  return {
    plan: file(steps),
    status: 'succeeded',
    steps: { ...all('succeeded', 'large after-large'), ...all('skipped', 'small after-small') },
  };
}

/** A sub-pipeline that begins, one that does not, and what reads the outputs of the first. */
export function subPipeline(): Shape {
  const steps = `params: { deep: false }
steps:
  data: { run: x, outputs: { v: value } }
  eval:
    steps:
      measure: { run: x, inputs: { data: steps.data.outputs.v }, outputs: { v: value } }
      check: { run: x, after: [measure] }
    outputs: { score: steps.measure.outputs.v }
  more:
    if: params.deep
    steps:
      fine: { run: x }
      finer: { run: x, after: [fine] }
  use: { run: x, if: steps.eval.outputs.score > 6 }
  last: { run: x, after: [more] }`;
  return {
    plan: file(steps),
    behaviours: {
      data: value(1),
      'eval.measure': value(7),
      'eval#outputs': { outputs: { score: { value: 7 } } }, // what the real built-in gives
    },
    status: 'succeeded',
    steps: {
      ...all('succeeded', 'data eval.measure eval.check eval#outputs use'),
      ...all('skipped', 'more#begin more.fine more.finer last'),
    },
  };
}

const HANDLED = `steps: { train: { run: x, retry: { max: 0 } } }
on_success: [{ name: tell, run: x }]
on_failure: [{ name: warn, run: x, retry: { max: 0 } }, { name: page, run: x }]
always: [{ name: clean, run: x }]`;

/** "Exit handlers run: `on_success` or `on_failure`, then `always`." */
export function handlersOfSuccess(): Shape {
  const keys = 'train on_success.tell always.clean';
  return { plan: file(HANDLED), status: 'succeeded', steps: all('succeeded', keys) };
}

/** "Whether it succeeds changes nothing of the run's own end": the first of them fails, too. */
export function handlersOfFailure(): Shape {
  return {
    plan: file(HANDLED),
    behaviours: { train: { failures: ['crash'] }, 'on_failure.warn': { failures: ['crash'] } },
    status: 'failed',
    steps: {
      ...all('failed', 'train on_failure.warn'),
      ...all('succeeded', 'on_failure.page always.clean'),
    },
  };
}
