import fc from 'fast-check';
import { withNeeds } from '../../dag/validate';
import type { FailureClass, Plan, PlanStep, StepSpec } from '../../schemas/plan';
import type { Behaviour } from './world-options';
import { step } from './plans';

/** What one step of a random run is made of. */
interface Raw {
  readonly after: readonly number[];
  readonly condition: string | undefined;
  readonly repeat: 'once' | 'list' | 'late' | 'matrix' | 'written';
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
    repeat: fc.constantFrom('once', 'once', 'once', 'list', 'late', 'matrix', 'written'),
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

/** What steps leave behind for others to run; an x fails as its key says, like any other. */
const WRITTEN = [
  'steps: { x0: { run: x, if: params.few == params.many }, x1: { run: x, after: [x0] } }',
  'steps: { x0: { run: x, foreach: { i: params.few }, parallel: 1 }, x1: { run: x, after: [x0] } }',
  `steps:
  x0: { run: x, outputs: { list: value }, retry: { max: 1, on: [crash, oom] } }
  x1: { steps: { x2: { run: x, foreach: { i: steps.x0.outputs.list } }, x3: { run: x } } }`,
].map((steps) => `version: 1\nname: written\nparams: { few: [], many: [1] }\n${steps}`);

/** What is known of the steps around one. */
interface Around {
  /** Steps that leave a list and a pipeline behind. */
  readonly lists: readonly string[];
  readonly isLate: boolean;
  readonly isRepeated: boolean;
}
const NOWHERE: Around = { lists: [], isLate: false, isRepeated: false };

/** Gives each step a name of its own, and needs among those before it. */
class Builder {
  private count = 0;

  level(raws: readonly Raw[], { lists, isLate, isRepeated }: Around = NOWHERE): PlanStep[] {
    const before: string[] = [];
    const near = [...lists];
    return raws.map((of) => {
      const made = this.step(of, before, { lists: near, isLate, isRepeated });
      before.push(made.name);
      if ('pool' in made && made.foreach === undefined) near.push(made.name);
      return made;
    });
  }

  private step(
    of: Raw,
    before: readonly string[],
    { lists, isLate: isInside, isRepeated }: Around,
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
    const place = {
      name,
      needs: [],
      ...(after.length > 0 && { after }),
      ...(condition !== undefined && { if: condition }),
    };
    const order = {
      ...place,
      ...(foreach && { foreach, ...rules, ...(stops && { stopAfter, parallel: 1 }) }),
    };
    if (of.repeat === 'written' && list !== undefined && !isRepeated) {
      const given = { few: '${{ params.two }}' };
      return { ...place, pipeline: `steps.${list}.outputs.plan`, with: given };
    }
    const around = { lists, isLate, isRepeated: isRepeated || foreach !== undefined };
    if (inner.length > 0) return { ...order, steps: this.level(inner, around) };
    const left = { list: { value: true as const }, plan: { kind: 'pipeline' as const } };
    const outputs = foreach ? {} : { outputs: left };
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
  const left = { outputs, writes: WRITTEN[at % WRITTEN.length] ?? '' };
  if (at % failing !== 0) return left;
  const count = 1 + (hash(`n ${key}`) % 4);
  const kind = (i: number): FailureClass =>
    CLASSES[hash(`${i} ${key} ${seed}`) % CLASSES.length] ?? 'crash';
  return { ...left, failures: Array.from({ length: count }, (_, i) => kind(i)) };
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
