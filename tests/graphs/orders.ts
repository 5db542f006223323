import { plan, step } from '../support/plans';
import { all, file, type Shape } from './shape';

const nothing = { uses: 'builtin/nothing' } as const;

/** One step after the other. */
export function linear(): Shape {
  const steps = 'steps: { a: { run: x }, b: { run: x, after: [a] }, c: { run: x, after: [b] } }';
  return { plan: file(steps), status: 'succeeded', steps: all('succeeded', 'a b c') };
}

export function diamond(): Shape {
  const steps = `steps:
  join: { run: x, after: [left, right] }
  top: { run: x }
  left: { run: x, after: [top] }
  right: { run: x, after: [top] }`;
  return { plan: file(steps), status: 'succeeded', steps: all('succeeded', 'top left right join') };
}

export function fanOut(): Shape {
  const steps = [
    step('top'),
    ...['a', 'b', 'c', 'd'].map((name) => step(name, { after: ['top'] })),
  ];
  return { plan: plan(steps), status: 'succeeded', steps: all('succeeded', 'top a b c d') };
}

/** One of many that are awaited fails: "steps that need it are skipped, others go on to their end". */
export function fanIn(): Shape {
  const tops = ['a', 'b', 'c', 'd'];
  return {
    plan: plan([...tops.map((name) => step(name)), step('end', { after: tops })]),
    behaviours: { c: { failures: ['data'] } },
    status: 'failed',
    steps: { ...all('succeeded', 'a b d'), ...all('failed', 'c'), ...all('skipped', 'end') },
  };
}

const many = (count: number) => Array.from({ length: count }, (_, i) => `n${i}`);

/** 300 steps beside each other, more than run at once. */
export function wide(): Shape {
  const names = many(300);
  const steps = [
    ...names.map((name) => step(name, nothing)),
    step('end', { ...nothing, after: names }),
  ];
  const keys = ['end', ...names].join(' ');
  return { plan: plan(steps), status: 'succeeded', steps: all('succeeded', keys) };
}

/** 300 steps behind each other; without the last ones, since the one before them fails. */
export function deep(): Shape {
  const names = many(300);
  const steps = names.map((name, i) => {
    const after = i === 0 ? {} : { after: [`n${i - 1}`] };
    return step(name, i === 290 ? after : { ...nothing, ...after });
  });
  return {
    plan: plan(steps),
    behaviours: { n290: { failures: ['data'] } },
    status: 'failed',
    steps: {
      ...all('succeeded', names.slice(0, 290).join(' ')),
      ...all('failed', 'n290'),
      ...all('skipped', names.slice(291).join(' ')),
    },
  };
}
