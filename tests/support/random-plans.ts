import fc from 'fast-check';
import { withNeeds } from '../../dag/validate';
import type {
  DynamicSpec,
  OutputSpec,
  ParamSpec,
  Plan,
  PlanStep,
  StepSpec,
} from '../../schemas/plan';
import { FailureClass, HeartbeatSource } from '../../schemas/plan';

const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,8}$/);
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0); // no -0
/** Texts that YAML could misread: numbers, dates, blanks, signs, several lines. */
const MISREAD = [
  '1', 'true', 'null', '~', ' a ', 'a: b', '- a', '#', '"', "'", 'a\n b\n', '2026-01-01', '0x1f',
  '\t', '<<', '*a', '&a', '!a', '%',
]; // prettier-ignore
const text = fc
  .oneof(fc.string(), fc.constantFrom(...MISREAD))
  .filter((value) => !value.includes('${{'));
const key = text.filter((value) => value !== '__proto__');
const json = fc
  .letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.oneof(text, number, fc.boolean(), fc.constant(null)),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 3 }),
    ),
  }))
  .value.map((value) => value as never);

const output = fc.oneof<fc.Arbitrary<OutputSpec>[]>(
  fc.record(
    {
      kind: fc.constantFrom('model', 'dataset', 'file', 'pipeline'),
      path: fc.constantFrom('out/a b', 'x'),
    },
    { requiredKeys: ['kind'] },
  ),
  fc.record({
    metric: text.filter((metric) => metric !== ''),
    pick: fc.constantFrom('last', 'min', 'max'),
  }),
  fc.constant({ value: true } as const),
);
const param = fc.oneof<fc.Arbitrary<ParamSpec>[]>(
  text.map((value) => ({ type: 'string' as const, default: value })),
  number.map((value) => ({ type: 'number' as const, default: value })),
  fc.record(
    { type: fc.constant('number'), min: fc.integer({ max: 0 }), max: fc.integer({ min: 0 }) },
    { requiredKeys: ['type'] },
  ),
  fc.array(json, { maxLength: 3 }).map((value) => ({ type: 'list' as const, default: value })),
  fc.constantFrom({ type: 'boolean' }, { type: 'boolean', default: false }),
);
const seconds = fc.constantFrom(1, 0.5, 90, 3_600);

const delays = fc.record(
  {
    delaySeconds: fc.constantFrom(0, 0.5, 30),
    factor: fc.constantFrom(1, 1.5, 10),
    maxDelaySeconds: fc.constantFrom(90, 3_600),
  },
  { requiredKeys: [] },
);
const cache = fc.record(
  {
    ttlSeconds: seconds,
    files: fc.subarray(['src/**', './params.lr', '*.csv'], { minLength: 1 }),
    values: fc.subarray(['params.flag', 'params.flag == false'], { minLength: 1 }),
  },
  { requiredKeys: [] },
);
/** What may stand beside a foreach, whose variables are named after its depth. */
const rules = fc.record(
  {
    variables: fc.integer({ min: 1, max: 3 }),
    parallel: fc.integer({ min: 1, max: 10_000 }),
    itemsMax: fc.constantFrom(1, 10_000),
    minSuccess: fc.constantFrom(0, 0.9),
    stopAfter: fc.integer({ min: 1, max: 9 }),
  },
  { requiredKeys: ['variables'] },
);
/** What any step may set that needs no names of others. */
const options = fc.record(
  {
    pool: fc.constantFrom('cpu', 'gpu-1'),
    timeoutSeconds: seconds,
    totalTimeoutSeconds: seconds,
    deadlineSeconds: seconds,
    retry: fc
      .record({ max: fc.nat({ max: 9 }), on: fc.subarray([...FailureClass.options]), delays })
      .map(({ delays: given, ...retry }) => ({ ...retry, ...given })),
    priority: fc.constantFrom(-100, 7),
    checkpoint: fc.record({ keep: fc.integer({ min: 1, max: 9 }), graceSeconds: seconds }),
    env: fc.dictionary(fc.constantFrom('A', 'LANG', 'X_1'), text, { minKeys: 1, maxKeys: 3 }),
  },
  { requiredKeys: ['pool', 'timeoutSeconds', 'retry'] },
);
const process = fc.record(
  {
    secrets: fc.subarray(['HF_TOKEN', 'b_2']),
    heartbeat: fc.record({
      timeoutSeconds: seconds,
      from: fc.subarray([...HeartbeatSource.options], { minLength: 1 }),
    }),
    cache,
    adopt: fc.constant('new' as const), // `off` fits not every output
    mlflow: fc.constant({ injectRunId: true as const }),
    outputs: fc.dictionary(name, output, { minKeys: 1, maxKeys: 3 }),
  },
  { requiredKeys: [] },
);
const words = fc.array(text, { minLength: 1, maxLength: 3 });
const work = fc.oneof<fc.Arbitrary<Partial<StepSpec>>[]>(
  fc.tuple(words, process).map(([rest, of]) => ({ argv: ['run', ...rest], ...of })),
  fc.tuple(fc.dictionary(name, json, { minKeys: 1, maxKeys: 3 }), process).map(([given, of]) => ({
    uses: './steps.ts#work',
    with: given,
    ...of,
  })),
  fc.constant({ uses: 'builtin/notify', with: { message: 'it ended' } }),
);

interface Raw {
  readonly options: Partial<StepSpec>;
  readonly work: Partial<StepSpec>;
  readonly rules: { readonly variables: number } | undefined;
  readonly condition: string | undefined;
  /** A sub-pipeline, if there are any. */
  readonly inner: readonly Raw[];
  /** Chooses among what may be read. */
  readonly link: number;
}
const raw = fc.letrec<{ step: Raw }>((tie) => ({
  step: fc.record({
    options: options,
    work,
    rules: fc.option(rules, { nil: undefined }),
    condition: fc.option(fc.constantFrom('params.flag', '1 < 2 && "a: b" != "#"'), {
      nil: undefined,
    }),
    inner: fc.oneof(
      { maxDepth: 3, depthSize: 'small', withCrossShrink: true },
      fc.constant([]),
      fc.array(tie('step'), { minLength: 2, maxLength: 3 }),
    ),
    link: fc.nat(),
  }),
})).step;

/** What a step may read: expressions, and the variables of the foreach around it. */
interface Visible {
  readonly inputs: readonly string[];
  readonly items: readonly string[];
  /** Pipelines that steps have written; undefined inside a foreach. */
  readonly pipelines: readonly string[] | undefined;
}
const KINDS = ['any', 'value', 'model', 'pipeline'] as const;

/** Gives every step a name of its own, and expressions over what stands before it. */
class Namer {
  private count = 0;

  level(raws: readonly Raw[], around: Visible): PlanStep[] {
    let visible = around;
    const before: string[] = [];
    return raws.map((of) => {
      const made = this.step(of, visible);
      const last = before.at(-1);
      const step = last !== undefined && of.link % 3 === 0 ? { ...made, after: [last] } : made;
      before.push(step.name);
      const outputs = Object.keys(step.outputs ?? {}).map(
        (out) => `steps.${step.name}.outputs.${out}`,
      );
      const isOnce = step.foreach === undefined;
      const read = isOnce ? outputs : [`steps.${step.name}.outputs`];
      const inputs = [...visible.inputs, ...(outputs.length > 0 ? read : [])];
      const pipelines = visible.pipelines?.concat(isOnce ? writtenBy(step) : []);
      visible = { ...visible, inputs, pipelines };
      return step;
    });
  }

  private dynamic(
    { name: stepName, if: condition }: Pick<DynamicSpec, 'name' | 'if'>,
    link: number,
    written: string,
  ): PlanStep {
    const kind = KINDS[link % KINDS.length] ?? 'any';
    const outputs = { a: kind, 'b-1': link % 3 === 0 ? ('dataset' as const) : kind };
    return {
      name: stepName,
      needs: [],
      ...(condition !== undefined && { if: condition }),
      pipeline: written,
      ...(link % 2 === 0 && { with: { lr: 0.1, flag: '${{ params.flag }}', list: ['x', -1] } }),
      ...(link % 5 > 0 && { outputs }),
    };
  }

  private step(
    { options: of, work: does, rules: repeat, condition, ...rest }: Raw,
    visible: Visible,
  ): PlanStep {
    const stepName = `s${this.count++}`;
    const { variables = 0, ...limits } = repeat ?? {};
    const items = Array.from({ length: variables }, (_, i) => `${stepName}-${i}`);
    const order = {
      name: stepName,
      needs: [],
      ...(condition !== undefined && { if: condition }),
      ...(repeat && {
        foreach: Object.fromEntries(items.map((item) => [item, '[1, 2]'])),
        ...limits,
      }),
    };
    const inside = {
      ...visible,
      items: [...visible.items, ...items.map((item) => `item.${item}`)],
    };
    const { pipelines = [] } = visible;
    const written = pipelines[rest.link % (pipelines.length + 1)];
    if (written !== undefined && repeat === undefined)
      return this.dynamic(order, rest.link, written);
    if (rest.inner.length > 0) {
      const written = repeat === undefined ? visible.pipelines : undefined;
      const steps = this.level(rest.inner, { ...inside, pipelines: written });
      const outputs = outputsOf(steps);
      return { ...order, steps, ...(Object.keys(outputs).length > 0 && { outputs }) };
    }
    const input = visible.inputs[rest.link % (visible.inputs.length + 1)];
    const item = inside.items[rest.link % (inside.items.length + 1)];
    const isCommand = does.argv !== undefined;
    return {
      ...of,
      ...does,
      ...order,
      ...(isCommand && item !== undefined && { argv: ['run', `a \${{ ${item} }}`] }),
      ...(isCommand && input !== undefined && { inputs: { given: input } }),
    } as StepSpec;
  }
}

/** The pipelines that a step leaves behind. */
function writtenBy({ name: stepName, outputs }: PlanStep): string[] {
  return Object.entries(outputs ?? {}).flatMap(([out, of]) => {
    const isPipeline = typeof of === 'object' && 'kind' in of && of.kind === 'pipeline';
    return isPipeline ? [`steps.${stepName}.outputs.${out}`] : [];
  });
}

/** The outputs of a sub-pipeline: those of its steps that are no lists. */
function outputsOf(steps: readonly PlanStep[]): Record<string, string> {
  const single = steps.filter((step) => step.foreach === undefined);
  return Object.fromEntries(
    single.flatMap((step) =>
      Object.keys(step.outputs ?? {}).map((out) => [
        `${step.name}-${out}`,
        `steps.${step.name}.outputs.${out}`,
      ]),
    ),
  );
}

const handlers = fc.option(
  fc.array(fc.tuple(options, work), { minLength: 1, maxLength: 2 }).map((steps) =>
    steps.map(([of, does], i) => {
      const step: Partial<StepSpec> = { ...of, ...does };
      delete step.cache; // a handler always runs
      delete step.deadlineSeconds; // at the end
      return { ...step, name: `h${i}`, needs: [] } as unknown as StepSpec;
    }),
  ),
  { nil: undefined },
);

/** Plans that are valid, with every key of the language; no step has the name of one around it. */
export const anyPlan: fc.Arbitrary<Plan> = fc
  .record({
    name,
    params: fc.dictionary(name, param, { maxKeys: 4 }),
    steps: fc.array(raw, { minLength: 1, maxLength: 4 }),
    onSuccess: handlers,
    onFailure: handlers,
    always: handlers,
  })
  .map(({ params, steps, onSuccess, onFailure, always, ...plan }) => ({
    version: 1 as const,
    ...plan,
    params: { ...params, flag: { type: 'boolean' as const, default: true } },
    steps: new Namer().level(steps, { inputs: [], items: [], pipelines: [] }).map(withNeeds),
    ...(onSuccess && { onSuccess }),
    ...(onFailure && { onFailure }),
    ...(always && { always }),
  }));
