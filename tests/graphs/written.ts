import { all, file, value, writes, type Shape } from './shape';

/** What a step has written runs as a sub-pipeline, with all that one may hold. */
export function dynamic(): Shape {
  const steps = `params: { deep: true }
steps:
  data: { run: x, outputs: { v: value } }
  generate: { run: x, outputs: { plan: pipeline } }
  search:
    pipeline: steps.generate.outputs.plan
    with: { rows: '\${{ steps.data.outputs.v }}', deep: '\${{ params.deep }}' }
    outputs: [score]
  never: { pipeline: steps.generate.outputs.plan, with: { rows: 1 }, if: '!params.deep' }
  use: { run: x, if: steps.search.outputs.score > 6 }
  last: { run: x, after: [search] }
  after-never: { run: x, after: [never] }`;
  const written = `params: { rows: { type: number }, deep: false }
steps:
  list: { run: x, outputs: { v: value } }
  each: { run: 'x \${{ params.rows }}', foreach: { i: steps.list.outputs.v }, parallel: 1 }
  fit: { run: x, foreach: { seed: '[1, 2]' }, after: [each], retry: { max: 1 } }
  large:
    if: params.rows > 100
    run: x
    else: { small: { run: x, outputs: { v: value } } }
  inner:
    if: params.deep
    after: [fit]
    steps: { one: { run: x }, two: { run: x, foreach: { j: steps.list.outputs.v } } }
outputs: { score: steps.small.outputs.v }`;
  return {
    plan: file(steps),
    behaviours: {
      data: value(10),
      generate: writes(written),
      'search.list': value(['a', 'b']),
      'search.fit[1]': { failures: ['crash'] },
      'search.small': value(7),
      'search#outputs': { outputs: { score: { value: 7 } } }, // what the real built-in gives
    },
    status: 'succeeded',
    steps: {
      ...all('succeeded', 'data generate search search.list search.each search.each[0]'),
      ...all('succeeded', 'search.each[1] search.fit[0] search.fit[1] search.small'),
      ...all('succeeded', 'search.inner#begin search.inner.one search.inner.two'),
      ...all('succeeded', 'search.inner.two[0] search.inner.two[1] search#outputs use last'),
      ...all('skipped', 'search.large never after-never'),
    },
  };
}

/** "A step that failed for good fails the run; steps that need it are skipped", inside and outside. */
export function dynamicFailing(): Shape {
  const steps = `steps:
  generate: { run: x, outputs: { plan: pipeline } }
  other: { run: x }
  group:
    steps:
      first: { pipeline: steps.generate.outputs.plan }
      second: { pipeline: steps.generate.outputs.plan, after: [first] }
  last: { run: x, after: [group] }`;
  const written = `steps:
  a: { run: x, retry: { max: 0 } }
  b: { run: x, after: [a] }
  c: { run: x }`;
  return {
    plan: file(steps),
    behaviours: { generate: writes(written), 'group.first.a': { failures: ['crash'] } },
    status: 'failed',
    steps: {
      ...all('succeeded', 'generate other group.first.c'),
      ...all('failed', 'group.first group.first.a'),
      ...all('skipped', 'group.first.b group.second last'),
    },
  };
}
