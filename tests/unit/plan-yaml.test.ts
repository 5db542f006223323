import fc from 'fast-check';
import { needsOf } from '../../dag/validate';
import { planId } from '../../dag/plan-id';
import type { OutputSpec, ParamSpec, Plan, StepSpec } from '../../schemas/plan';
import { FailureClass, HeartbeatSource } from '../../schemas/plan';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { planToYaml } from '../../sdk/plan-yaml';

const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,8}$/);
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0); // no -0
/** Texts that YAML could misread: numbers, dates, blanks, signs, several lines. */
const text = fc
  .oneof(
    fc.string(),
    fc.constantFrom(
      '1',
      'true',
      'null',
      '~',
      ' a ',
      'a: b',
      '- a',
      '#',
      '"',
      "'",
      'a\n b\n',
      '2026-01-01',
      '0x1f',
      '\t',
      '<<',
      '*a',
      '&a',
      '!a',
      '%',
    ),
  )
  .filter((value) => !value.includes('${{'));
const json = fc
  .letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.oneof(text, number, fc.boolean(), fc.constant(null)),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(
        text.filter((key) => key !== '__proto__'),
        tie('value'),
        { maxKeys: 3 },
      ),
    ),
  }))
  .value.map((value) => value as never);

const output = fc.oneof<fc.Arbitrary<OutputSpec>[]>(
  fc.record(
    { kind: fc.constantFrom('model', 'dataset', 'file'), path: fc.constantFrom('out/a b', 'x') },
    { requiredKeys: ['kind'] },
  ),
  fc.record({
    metric: text.filter((key) => key !== ''),
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
const pool = fc.constantFrom('cpu', 'gpu-1');

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
/** Rules that mean something only beside foreach. */
const foreach = fc.record(
  {
    foreach: fc.constantFrom({ seed: '[1, 2]' }, { lr: '[0.1]', seed: '[1, 2]' }),
    parallel: fc.integer({ min: 1, max: 10_000 }),
    itemsMax: fc.constantFrom(1, 10_000),
    minSuccess: fc.constantFrom(0, 0.9),
    stopAfter: fc.integer({ min: 1, max: 9 }),
  },
  { requiredKeys: ['foreach'] },
);

const step = fc
  .record(
    {
      name: fc.constant(''),
      argv: fc.array(text, { minLength: 1, maxLength: 3 }).map((words) => ['run', ...words]),
      with: fc.dictionary(
        text.filter((key) => key !== '__proto__'),
        json,
        { maxKeys: 3 },
      ),
      outputs: fc.dictionary(name, output, { maxKeys: 3 }),
      if: fc.constantFrom('params.flag', '1 < 2 and "a: b" != "#"'),
      needs: fc.constant([]),
      pool,
      timeoutSeconds: seconds,
      totalTimeoutSeconds: seconds,
      retry: fc
        .record({ max: fc.nat({ max: 9 }), on: fc.subarray([...FailureClass.options]), delays })
        .map(({ delays: given, ...retry }) => ({ ...retry, ...given })),
      priority: fc.constantFrom(-100, 7),
      secrets: fc.subarray(['HF_TOKEN', 'b_2']),
      heartbeat: fc.record({
        timeoutSeconds: seconds,
        from: fc.subarray([...HeartbeatSource.options], { minLength: 1 }),
      }),
      cache,
      rules: fc.option(foreach, { nil: undefined }),
      env: fc.dictionary(fc.constantFrom('A', 'LANG', 'X_1'), text, { maxKeys: 3 }),
      checkpoint: fc.record({ keep: fc.integer({ min: 1, max: 9 }), graceSeconds: seconds }),
    },
    { requiredKeys: ['name', 'argv', 'needs', 'pool', 'timeoutSeconds', 'retry', 'rules'] },
  )
  .map(({ rules, ...spec }) => ({
    ...spec,
    ...rules,
  })) as fc.Arbitrary<unknown> as fc.Arbitrary<StepSpec>;

/** Plans that are valid: later steps may read outputs of earlier ones. */
const anyPlan: fc.Arbitrary<Plan> = fc
  .record({
    version: fc.constant(1 as const),
    name,
    params: fc.dictionary(name, param, { maxKeys: 4 }),
    names: fc.uniqueArray(name, { minLength: 1, maxLength: 5 }),
    steps: fc.array(step, { minLength: 5, maxLength: 5 }),
    links: fc.array(fc.nat(), { minLength: 5, maxLength: 5 }),
  })
  .map(({ names, steps, links, params, ...plan }) => ({
    ...plan,
    params: { ...params, flag: { type: 'boolean' as const, default: true } },
    steps: steps
      .slice(0, names.length)
      .map((spec, i) => link({ ...spec, name: names[i] ?? '' }, i, { names, steps, links })),
  }));

interface Parts {
  readonly names: readonly string[];
  readonly steps: readonly StepSpec[];
  readonly links: readonly number[];
}
function link(spec: StepSpec, i: number, { names, steps, links }: Parts): StepSpec {
  const at = i === 0 ? undefined : (links[i] ?? 0) % i;
  const source = at === undefined ? undefined : names[at];
  const [first] = at === undefined ? [] : Object.keys(steps[at]?.outputs ?? {});
  const linked: StepSpec =
    source === undefined
      ? spec
      : first === undefined || steps[at ?? 0]?.foreach !== undefined
        ? { ...spec, after: [source] }
        : { ...spec, inputs: { given: `steps.${source}.outputs.${first}` } };
  return { ...linked, needs: needsOf(linked) };
}

describe('planToYaml', () => {
  it('loses nothing: compiling its text gives an equal plan with the same id', () => {
    fc.assert(
      fc.property(anyPlan, (plan) => {
        const again = compileYaml(planToYaml(plan));
        expect(again).toEqual(plan);
        expect(planId(again)).toBe(planId(plan));
      }),
      { numRuns: 300 },
    );
  });

  it('writes short forms where they say the same', () => {
    const source =
      'version: 1\nname: p\nparams: { lr: 0.1 }\nsteps: { a: { run: x, outputs: { m: model } } }';
    const text = planToYaml(compileYaml(source));
    expect(text).toContain('  lr: 0.1\n');
    expect(text).toContain('      m: model\n');
  });
});

describe('a plan of 10,000 steps', () => {
  const steps = Array.from({ length: 10_000 }, (_, i) => {
    const inputs = i === 0 ? '' : `, inputs: { x: steps.s${i - 1}.outputs.x }`;
    return `  s${i}: { run: x, outputs: { x: value }${inputs} }`;
  });
  const text = (list: readonly string[]): string =>
    `version: 1\nname: p\nsteps:\n${list.join('\n')}\n`;

  it('compiles, one chain from the first to the last', () => {
    const plan = compileYaml(text(steps));
    expect(plan.steps.map(({ needs }) => needs)).toEqual(
      steps.map((_, i) => (i === 0 ? [] : [`s${i - 1}`])),
    );
  });

  it('may not have one step more', () => {
    const more = [...steps, '  s10000: { run: x }'];
    expect(() => compileYaml(text(more))).toThrow('at most 10000');
  });
});
