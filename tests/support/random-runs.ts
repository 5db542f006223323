import fc from 'fast-check';
import { withNeeds } from '../../dag/validate';
import type { FailureClass, Plan, PlanStep, StepSpec } from '../../schemas/plan';
import type { Behaviour } from './pipeline-world';
import { step } from './plans';

/** What one step of a random run is made of. */
interface Raw {
  readonly after: readonly number[];
  readonly condition: string | undefined;
  readonly repeat: 'once' | 'list' | 'late' | 'matrix';
  readonly rules: Pick<StepSpec, 'parallel' | 'minSuccess' | 'stopAfter'>;
  readonly retry: StepSpec['retry'];
  readonly priority: number | undefined;
  readonly inner: readonly Raw[];
}
export interface RandomRun {
  readonly plan: Plan;
  readonly behave: (key: string) => Behaviour;
  readonly seed: number;
}

const LISTS = [[], [1], [1, 2, 3], [1, 2, 3, 4, 5]];
const CLASSES: readonly FailureClass[] = [
  'crash',
  'oom',
  'timeout',
  'data',
  'preempted',
  'heartbeat',
  'node-lost',
  'quota',
];

const rules = fc.record(
  {
    parallel: fc.integer({ min: 1, max: 3 }),
    minSuccess: fc.constantFrom(0, 0.3, 0.5, 0.9),
    stopAfter: fc.integer({ min: 1, max: 2 }),
  },
  { requiredKeys: [] },
);
const raw = fc.letrec<{ step: Raw }>((tie) => ({
  step: fc.record({
    after: fc.array(fc.nat(), { maxLength: 2 }),
    condition: fc.option(fc.constantFrom('params.yes', 'params.no', '1 < 2'), {
      nil: undefined,
      freq: 1,
    }),
    repeat: fc.constantFrom('once', 'once', 'once', 'list', 'late', 'matrix'),
    rules,
    retry: fc.record({
      max: fc.nat({ max: 2 }),
      on: fc.subarray(['crash', 'oom', 'timeout', 'data'] as FailureClass[]),
    }),
    priority: fc.option(fc.integer({ min: -2, max: 2 }), { nil: undefined }),
    inner: fc.oneof(
      { maxDepth: 2, depthSize: 'small', withCrossShrink: true },
      { weight: 4, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(tie('step'), { minLength: 1, maxLength: 3 }) },
    ),
  }),
})).step;

/** Gives each step a name of its own, and needs among those before it. */
class Builder {
  private count = 0;

  level(raws: readonly Raw[], lists: readonly string[] = [], isLate = false): PlanStep[] {
    const before: string[] = [];
    const near = [...lists];
    return raws.map((of) => {
      const made = this.step(of, before, { lists: near, isLate });
      before.push(made.name);
      if (!('steps' in made) && made.foreach === undefined) near.push(made.name);
      return made;
    });
  }

  private step(
    of: Raw,
    before: readonly string[],
    { lists, isLate: isInside }: { readonly lists: readonly string[]; readonly isLate: boolean },
  ): PlanStep {
    const name = `s${this.count++}`;
    const { condition, priority, inner } = of;
    const after = [...new Set(of.after.flatMap((n) => before[n % (before.length + 1)] ?? []))];
    const list = lists[(of.after[0] ?? 0) % (lists.length || 1)];
    const foreach = foreachOf(of.repeat, name, list);
    const { stopAfter, ...rules } = of.rules;
    const isLate = isInside || of.repeat === 'late';
    // which failures are the first ones is certain only if items take turns, and in order
    const stops = stopAfter !== undefined && !isLate;
    const order = {
      name,
      needs: [],
      ...(after.length > 0 && { after }),
      ...(condition !== undefined && { if: condition }),
      ...(foreach && { foreach, ...rules, ...(stops && { stopAfter, parallel: 1 }) }),
    };
    if (inner.length > 0) return { ...order, steps: this.level(inner, lists, isLate) };
    const outputs = foreach ? {} : { outputs: { list: { value: true as const } } };
    return step(name, {
      ...order,
      retry: of.retry,
      ...outputs,
      ...(priority !== undefined && { priority }),
    });
  }
}

function foreachOf(
  repeat: Raw['repeat'],
  name: string,
  list: string | undefined,
): Record<string, string> | undefined {
  if (repeat === 'list') return { [`${name}_x`]: 'params.three' };
  if (repeat === 'matrix') return { [`${name}_x`]: '[1, 2]', [`${name}_y`]: 'params.two' };
  if (repeat === 'late' && list !== undefined)
    return { [`${name}_x`]: `steps.${list}.outputs.list` };
  return undefined;
}

/** The same number for the same text. */
function hash(text: string): number {
  let sum = 2_166_136_261;
  for (const letter of text) sum = Math.imul(sum ^ letter.charCodeAt(0), 16_777_619) >>> 0;
  return (sum ^ (sum >>> 13)) >>> 0;
}

/** One step in `failing` fails at first, in ways and as often as its key says. */
function behaviourOf(key: string, seed: number, failing: number): Behaviour {
  const at = hash(`${seed} ${key}`);
  const outputs = { list: { value: LISTS[at % LISTS.length] ?? [] } };
  if (at % failing !== 0) return { outputs };
  const count = 1 + (hash(`n ${key}`) % 4);
  const kind = (i: number): FailureClass =>
    CLASSES[hash(`${i} ${key} ${seed}`) % CLASSES.length] ?? 'crash';
  return { outputs, failures: Array.from({ length: count }, (_, i) => kind(i)) };
}

/** Plans with all that orders steps, and what becomes of each attempt. */
export const anyRun: fc.Arbitrary<RandomRun> = fc
  .record({
    raws: fc.array(raw, { minLength: 1, maxLength: 7 }),
    seed: fc.nat({ max: 2 ** 30 }),
    failing: fc.constantFrom(2, 5, 11, 1_000),
  })
  .map(({ raws, seed, failing }) => ({
    seed,
    behave: (key: string) => behaviourOf(key, seed, failing),
    plan: {
      version: 1,
      name: 'random',
      params: {
        yes: { type: 'boolean', default: true },
        no: { type: 'boolean', default: false },
        two: { type: 'list', default: [1, 2] },
        three: { type: 'list', default: [1, 2, 3] },
      },
      steps: new Builder().level(raws).map(withNeeds),
    },
  }));
