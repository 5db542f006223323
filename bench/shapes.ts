import type { Plan } from '../schemas/plan';
import { plan, step } from '../tests/support/plans';

const nothing = { uses: 'builtin/nothing' } as const;

/** Steps one after the other; built-in ones that do nothing, unless told. */
export function chainOf(length: number, what: Parameters<typeof step>[1] = nothing): Plan {
  return plan(
    Array.from({ length }, (_, i) =>
      step(`s${i}`, { ...what, after: i === 0 ? [] : [`s${i - 1}`] }),
    ),
  );
}

/** So many steps side by side. */
export function fanOf(width: number, what: Parameters<typeof step>[1] = nothing): Plan {
  return plan(Array.from({ length: width }, (_, i) => step(`s${i}`, what)));
}

/** So many steps that do nothing: a tenth are fan-outs and fan-ins, the rest diamonds and chains of ten. */
export function mixed(count: number): Plan {
  const steps = [step('first', nothing)];
  const ends: string[] = [];
  for (let i = 0; steps.length < count - 1; i += 1) {
    const kind = i % 10;
    const length = Math.min(kind === 0 ? 100 : 10, count - 1 - steps.length);
    for (let j = 0; j < length; j += 1) {
      const isLinked = kind !== 0 && j > 0;
      const isDiamond = kind > 5 && j === length - 1 && j > 2;
      const before = isDiamond ? [`c${i}-${j - 1}`, `c${i}-${j - 3}`] : [`c${i}-${j - 1}`];
      steps.push(step(`c${i}-${j}`, { ...nothing, after: isLinked ? before : ['first'] }));
      if (kind === 0 || j === length - 1) ends.push(`c${i}-${j}`);
    }
  }
  return plan([...steps, step('last', { ...nothing, after: ends })]);
}
