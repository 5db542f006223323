import { artifact, pipeline } from 'anneal';
import { z } from 'zod';
import { expandGraph, expandItems } from '../../dag/expand';
import { fragmentProblems, graftPlan, graftProblems } from '../../dag/fragments';
import { placeSteps, showGraph } from '../../dag/placed-graph';
import { renderGraph } from '../../cli/graph-text';
import { isAppError } from '../../errors/app-error';
import { verdictOf } from '../../pipelines/expansions';
import { placeFragment } from '../../pipelines/fragments';
import type { DynamicSpec, Plan } from '../../schemas/plan';
import { compileWritten, compileYaml } from '../../sdk/pipeline-yaml';
import { planToYaml } from '../../sdk/plan-yaml';

const wrap = (text: string): string => `version: 1\nname: p\n${text}`;
const GENERATE = '  generate: { run: x, outputs: { plan: pipeline, model: model, rows: value } }\n';
const steps = (text: string): string => wrap(`steps:\n${GENERATE}${text}`);
const RUNS = '  search: { pipeline: steps.generate.outputs.plan';

function problemsOf(text: string, compile: (text: string) => Plan = compileYaml): string[] {
  try {
    compile(text);
    return [];
  } catch (error) {
    if (!isAppError(error)) throw error;
    return error.problems.map(({ line, path, message }) => `${line ?? 0} ${path} ${message}`);
  }
}

describe('a step that runs what another one has written', () => {
  const yaml = steps(`  search:
    pipeline: steps.generate.outputs.plan
    with: { rows: '\${{ steps.generate.outputs.rows }}', deep: true, m: '\${{ steps.generate.outputs.model }}' }
    outputs: { best: model, score: value, other: any }
    if: steps.generate.outputs.rows > 3
    after: [warm]
  warm: { run: x }
  plain: { pipeline: steps.generate.outputs.plan, outputs: [a, b] }
  use: { run: x, inputs: { m: steps.search.outputs.best, a: steps.plain.outputs.a } }
outputs: { m: steps.search.outputs.best }`);

  it('waits for what it names, in YAML and in TypeScript alike', () => {
    const plan = compileYaml(yaml);
    expect(plan.steps[1]).toEqual({
      name: 'search',
      pipeline: 'steps.generate.outputs.plan',
      with: {
        rows: '${{ steps.generate.outputs.rows }}',
        deep: true,
        m: '${{ steps.generate.outputs.model }}',
      },
      outputs: { best: 'model', score: 'value', other: 'any' },
      if: 'steps.generate.outputs.rows > 3',
      after: ['warm'],
      needs: ['generate', 'warm'],
    });
    const typed = pipeline('p', {}, (_, s) => {
      const {
        plan: file,
        model,
        rows,
      } = s.command('generate', {
        argv: ['x'],
        outputs: { plan: artifact('pipeline'), model: artifact('model'), rows: z.number() },
      });
      const other = { best: artifact('model'), score: z.number() };
      const options = { with: { rows, deep: true, m: model }, outputs: other, after: ['warm'] };
      const search = s.when(rows.gt(3), () => s.dynamic('search', file, options));
      s.command('warm', { argv: ['x'] });
      const { a } = s.dynamic('plain', file, { outputs: ['a', 'b'] });
      s.command('use', { argv: ['x'], inputs: { m: search.best, a } });
      return { m: search.best };
    });
    const same = compileYaml(yaml.replace(', other: any', ''));
    expect(typed.compile()).toEqual(same);
    expect(compileYaml(planToYaml(plan))).toEqual(plan);
    expect(planToYaml(same)).toContain('outputs:\n      - a\n      - b');
  });

  it.each<[string, string, string]>([
    ['no output of a pipeline', RUNS.replace('plan', 'model') + ' }', 'not a model artifact'],
    ['a value', RUNS.replace('plan', 'rows') + ' }', 'kind pipeline'],
    ['more than a reference', RUNS + ' == 1 }', 'no value that could be compared'],
    ['an unknown output', RUNS.replace('plan', 'paln') + ' }', "Did you mean 'plan'"],
    ['a foreach', RUNS + ", foreach: { i: '[1]' } }", "cannot stand beside 'pipeline'"],
    ['a command', RUNS + ', run: x }', "cannot stand beside 'pipeline'"],
    ['steps', RUNS + ', steps: { a: { run: x } } }', "cannot stand beside 'pipeline'"],
    ['a key that nobody knows', RUNS + ', pools: x }', "'pools' is not known here"],
    ['no list of outputs', RUNS + ', outputs: 3 }', 'must be a list of names, or a mapping'],
    ['an unknown kind', RUNS + ', outputs: { a: modle } }', 'must be one of any, value, model'],
    ['a mapping as a value', RUNS + ', with: { a: { b: 1 } } }', 'must be a plain value'],
    ['text around a value', RUNS + ", with: { a: 'x${{ 1 }}' } }", 'must be a plain value'],
    ['a wrong expression', RUNS + ", with: { a: '${{ steps.no.outputs.x }}' } }", "'steps.no'"],
    [
      'a wrong name of an output',
      RUNS + ', outputs: [score] }\n  u: { run: x, if: steps.search.outputs.scoer > 1 }',
      "Did you mean 'score'",
    ],
    [
      'a foreach around it',
      `  around: { foreach: { i: '[1]' }, steps: { inner: { steps: { ${RUNS.trim()} } } } } }`,
      'stands inside a foreach',
    ],
    ['the name of the handlers', RUNS.replace('search', 'always') + ' }', 'name of the handlers'],
  ])('is refused with %s', (_, text, message) => {
    const found = problemsOf(steps(text));
    expect(found.join('\n')).toContain(message);
    expect(found.join('\n')).toMatch(/^[1-9]/); // the line
  });

  it('is no handler', () => {
    const handler = `on_success: [{ name: a, pipeline: steps.generate.outputs.plan }]`;
    expect(problemsOf(`${steps('')}${handler}`).join()).toContain("'pipeline' is not known here");
  });

  it('gives at the top of a pipeline what is there', () => {
    const found = problemsOf(`${steps('')}outputs: { a: steps.generate.outputs.modle, 1b: '1' }`);
    expect(found.join('\n')).toContain("outputs.a step 'generate' has no output 'modle'");
    expect(found.join('\n')).toContain('outputs.1b must begin with a letter');
  });
});

describe('what was written', () => {
  const dynamic = (text = ''): { plan: Plan; step: DynamicSpec } => {
    const plan = compileYaml(steps(`${RUNS}${text} }`));
    return { plan, step: plan.steps[1] as DynamicSpec };
  };

  it.each<[string, { given: string; head: string }, string]>([
    [
      'a param that nobody knows',
      { given: ', with: { rwos: 1 }', head: 'params: { rows: 1 }' },
      "'rows'",
    ],
    [
      'a param without a value',
      { given: '', head: 'params: { rows: { type: number } }' },
      "needs 'rows'",
    ],
    [
      'a wrong value',
      { given: ', with: { rows: x }', head: 'params: { rows: 1 }' },
      'must be a number',
    ],
    ['handlers', { given: '', head: 'always: [{ run: x }]' }, 'has handlers of its own'],
    [
      'no such output',
      { given: ', outputs: [scroe]', head: 'outputs: { score: steps.a.outputs.v }' },
      "'score'",
    ],
  ])('is refused with %s', (_, { given, head }, message) => {
    const written = compileYaml(
      wrap(`${head}\nsteps: { a: { run: x, outputs: { v: value, m: dataset } } }`),
    );
    const found = fragmentProblems(dynamic(given).step, written);
    expect(found.map((problem) => `${problem.path} ${problem.message}`).join()).toContain(message);
  });

  it.each([
    ['model', 'dataset', 'must be a model, not a dataset artifact'],
    ['value', 'dataset', 'must be a value, not a dataset artifact'],
    ['model', 'value', ''],
    ['any', 'dataset', ''],
    ['dataset', 'dataset', ''],
  ])('must give a %s where it gives a %s', (wanted, given, message) => {
    const { plan } = dynamic(`, outputs: { o: ${wanted} }`);
    const written = compileYaml(
      wrap(`steps: { a: { run: x, outputs: { v: ${given} } } }\noutputs: { o: steps.a.outputs.v }`),
    );
    const grafted = graftPlan(plan, new Map([['search', written]]));
    const found = graftProblems(grafted, 'search');
    expect(found).toEqual(message === '' ? [] : [{ path: 'outputs.o', message: `${message}.` }]);
  });

  it('is refused if what reads its outputs takes no such thing', () => {
    const rest =
      '}\n  reg: { uses: builtin/register-model, inputs: { model: steps.search.outputs.o }, with: { name: m }';
    const { plan } = dynamic(`, outputs: [o] ${rest}`);
    const written = compileYaml(
      wrap('steps: { a: { run: x, outputs: { v: dataset } } }\noutputs: { o: steps.a.outputs.v }'),
    );
    const found = graftProblems(graftPlan(plan, new Map([['search', written]])), 'search');
    expect(found).toMatchObject([{ path: 'steps.reg.inputs.model' }]);
  });

  it('is refused with a step that runs what another one writes', () => {
    const found = fragmentProblems(dynamic().step, compileYaml(steps(`${RUNS} }`)));
    expect(found.map(({ path }) => path)).toEqual(['steps.search']);
  });

  it('is refused if long params in many places would fill the memory', () => {
    const use = Array.from({ length: 6_000 }, () => '${{ params.x }}').join(' ');
    const x = 'y'.repeat(900);
    const written = compileYaml(wrap(`params: { x: ${x} }\nsteps: { a: { argv: ['${use}'] } }`));
    expect(fragmentProblems(dynamic().step, written)).toMatchObject([{ path: 'params' }]);
  });

  it('may use no other files, and is started by nothing else', () => {
    const text = wrap('steps: { a: { uses: ./other.yaml } }');
    expect(problemsOf(text, compileWritten).join()).toContain('write it out');
    const on = wrap('on: { webhook: {} }\nsteps: { a: { run: x } }');
    expect(problemsOf(on)).toEqual([]);
    expect(problemsOf(on, compileWritten).join()).toContain('on starts runs of a pipeline that');
  });

  it('sees its own params, which stand for what it is given', () => {
    const { plan } = dynamic(
      ", with: { rows: '${{ steps.generate.outputs.rows }}' }, outputs: [r]",
    );
    const written = compileYaml(
      wrap(`params: { rows: 1, lr: 0.5 }
steps: { a: { run: 'x \${{ params.rows }} \${{ params.lr }}', if: params.rows > 2, outputs: { v: value } } }
outputs: { r: steps.a.outputs.v, unused: params.rows }`),
    );
    const grafted = graftPlan(plan, new Map([['search', written]]));
    const [, search] = grafted.steps as [unknown, DynamicSpec];
    expect(search.fragment).toMatchObject({
      steps: [
        {
          argv: ['x', '${{ steps.generate.outputs.rows }}', '${{ 0.5 }}'],
          if: 'steps.generate.outputs.rows > 2',
          needs: ['generate'],
        },
      ],
      outputs: { r: 'steps.a.outputs.v' },
      needs: ['generate'],
    });
    expect(graftProblems(grafted, 'search')).toEqual([]);
  });

  it('is refused where a value would mean something else, or does not fit what reads it', () => {
    const { plan } = dynamic(", with: { rows: '${{ steps.generate.outputs.rows }}' }");
    const place = (text: string, rows: unknown): string => {
      const written = compileYaml(wrap(text));
      const scope = { params: {}, item: {}, steps: { generate: { outputs: { rows } } } };
      const asked = { plan, node: { key: 'search' }, scope };
      const placed = placeFragment(asked, { plan: written, artifactId: 'a', digest: 'd' });
      return 'problem' in placed ? placed.problem : '';
    };
    const named = 'params: { rows: 1 }\nsteps: { generate: { run: x, if: params.rows > 1 } }';
    expect(place(named, 1)).toContain('means something else inside');
    const ranged = 'params: { rows: { type: number, max: 9 } }\nsteps: { a: { run: x } }';
    expect(place(ranged, 10)).toContain('with.rows must be at most 9');
    expect(place(ranged, 'ten')).toContain('with.rows must be a number');
    expect(place(ranged, 9)).toBe('');
  });

  it('keeps the positions of all other settings, and its own stand behind them', () => {
    const { plan } = dynamic('}\n  last: { run: x, after: [search]');
    const written = compileYaml(wrap('steps: { a: { run: x }, b: { run: x, after: [a] } }'));
    const grafted = graftPlan(plan, new Map([['search', written]]));
    const before = expandGraph(plan, {});
    const [, search] = before.nodes;
    if (search === undefined) throw new Error('no node');
    const expanded = expandItems(grafted, search, { scope: {}, item: undefined });
    expect(search).toMatchObject({ key: 'search', kind: 'expand', needs: ['generate'] });
    expect(expanded).toMatchObject({ settings: search.settings, brought: { first: 3, end: 5 } });
    expect(expanded.nodes).toMatchObject([
      { key: 'search.a', needs: [], group: 'search', settings: 3, index: search.index },
      { key: 'search.b', needs: ['search.a'], group: 'search', settings: 4 },
    ]);
    const after = expandGraph(grafted, {});
    expect(after.settings.slice(0, 3)).toEqual(before.settings);
    expect(after.nodes.map(({ key, kind }) => [key, kind])).toEqual([
      ['generate', 'step'],
      ['search.a', 'step'],
      ['search.b', 'step'],
      ['search', 'join'],
      ['last', 'step'],
    ]);
  });

  it('is due with what waits for it, and asks for results in a resumed run', () => {
    const { plan } = dynamic('}\n  last: { run: x, after: [search], deadline: 90s');
    const text =
      'steps: { a: { run: x }, b: { run: x, after: [a], deadline: 30s }, c: { run: x } }';
    const grafted = graftPlan(plan, new Map([['search', compileYaml(wrap(text))]]));
    const node = expandGraph(plan, {}).nodes[1];
    if (node === undefined) throw new Error('no node');
    const expanded = expandItems(grafted, node, { scope: {}, item: undefined });
    const told = (resumedFrom: string | null) => {
      const run = { params: {}, resumedFrom };
      const { items, settings } = verdictOf({ run, plan: grafted, node, expanded });
      return items.map(({ settings: at }) => settings?.kinds[settings.of[at] ?? -1]);
    };
    expect(told(null).map((one) => one?.dueSeconds)).toEqual([30, 30, 90]);
    expect(told(null).map((one) => one?.conditional)).toEqual([false, false, false]);
    expect(told('r0').map((one) => one?.conditional)).toEqual([true, true, true]);
  });

  it('is shown as unknown until it is there', () => {
    const graph = placeSteps(expandGraph(dynamic().plan, {}), []);
    expect(renderGraph(showGraph(graph, { isFull: false }), { isFull: false })).toEqual([
      '· generate',
      '·   search [expands when generate has ended] ← generate',
    ]);
  });
});
