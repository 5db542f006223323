import fc from 'fast-check';
import { expandGraph, expandItems } from '../../dag/expand';
import { ExpressionError } from '../../dag/expressions';
import { graftPlan } from '../../dag/fragments';
import { rowOf, templatesOf } from '../../dag/templates';
import { isAppError } from '../../errors/app-error';
import { placeFragment } from '../../pipelines/fragments';
import { verdictOf } from '../../pipelines/expansions';
import type { Plan } from '../../schemas/plan';
import { compileWritten, compileYaml } from '../../sdk/pipeline-yaml';
import { planToYaml } from '../../sdk/plan-yaml';
import { anyPlan } from '../support/random-plans';

/** Whatever a step writes runs, or is refused in words: nothing in between. */
const around = compileYaml(`version: 1
name: p
params: { flag: true }
steps:
  write: { run: x, outputs: { plan: pipeline, v: value } }
  around: { steps: { run: { pipeline: steps.write.outputs.plan } } }
  other: { pipeline: steps.write.outputs.plan }
  last: { run: x, after: [around, other] }`);
const scope = { params: { flag: true }, item: {}, steps: { write: { outputs: { v: 1 } } } };
const place = (plan: Plan, key: string, written: Plan) =>
  placeFragment({ plan, node: { key }, scope }, { plan: written, artifactId: 'a', digest: 'd' });

/** The nodes of a plan's dynamic step, each with the row that it gets. */
function expand(plan: Plan, key: string) {
  const node = expandGraph(around, {}).nodes.find((one) => one.key === key);
  if (node === undefined) throw new Error(`no node ${key}`);
  const expanded = expandItems(plan, node, { scope, item: undefined });
  const { list } = templatesOf(plan);
  const rows = expanded.nodes.flatMap((one) => {
    const template = list[one.settings];
    return template === undefined ? [] : [rowOf(template, one.key)];
  });
  const run = { params: { flag: true }, resumedFrom: null };
  return { rows, expanded, verdict: verdictOf({ run, plan, node, expanded }) };
}

/** True if a foreach has more items than it takes: refused where it becomes its items. */
function hasTooManyItems(plan: Plan): boolean {
  try {
    expand(plan, 'other');
    return false;
  } catch (error) {
    if (isAppError(error) && error.message.includes('items_max')) return true;
    throw error;
  }
}

describe('any plan that is valid', () => {
  it('stands in the plan of a run, or is refused', () => {
    let placed = 0;
    fc.assert(
      fc.property(anyPlan, ({ version, name, steps, params: { flag } }) => {
        const whole: Plan = { version, name, steps, params: flag === undefined ? {} : { flag } };
        const first = place(around, 'around.run', whole);
        if ('problem' in first) {
          expect(first.problem).toMatch('runs a pipeline that a step writes');
          return;
        }
        const second = place(first.plan, 'other', whole);
        if ('problem' in second) throw new Error(second.problem);
        if (hasTooManyItems(second.plan)) return;
        placed += 1;
        for (const key of ['around.run', 'other']) {
          const { rows, expanded, verdict } = expand(second.plan, key);
          expect(rows).toHaveLength(expanded.nodes.length);
          const keys = expanded.nodes.map((node) => node.key);
          expect(new Set(keys).size).toBe(keys.length);
          expect(keys.every((one) => one.startsWith(`${key}.`))).toBe(true);
          const known = new Set([...keys, key]);
          for (const { needs, group } of expanded.nodes) {
            expect([...needs, group ?? key].filter((one) => !known.has(one))).toEqual([]);
          }
          // the settings that a workflow hears of are those of the step
          for (const [i, node] of verdict.items.entries()) {
            const settings = verdict.settings?.kinds[verdict.settings.of[node.settings] ?? -1];
            expect(settings?.pool).toBe(rows[i]?.pool);
            expect(settings?.timeoutSeconds).toBe(rows[i]?.timeoutSeconds);
          }
        }
      }),
      { seed: 1, numRuns: 150 },
    );
    expect(placed).toBeGreaterThan(20);
  });
});

describe('any text', () => {
  const valid = planToYaml(
    compileYaml(`version: 1
name: w
params: { a: 1, b: { type: list, default: [1, 2] } }
steps:
  one: { run: 'x \${{ params.a }}', foreach: { i: params.b }, outputs: { v: value } }
  two: { steps: { in: { run: x, if: params.a > 0 } }, after: [one] }
outputs: { v: 'steps.one.outputs[0].v' }`),
  );
  const edit = fc.record({
    at: fc.nat(),
    cut: fc.nat({ max: 9 }),
    add: fc.oneof(
      fc.string({ maxLength: 5 }),
      fc.constantFrom('\n', '  ', '${{', '}}', ': ', '- ', '*a', '&a', '0'),
    ),
  });
  const apply = (text: string, { at, cut, add }: { at: number; cut: number; add: string }) => {
    const from = at % (text.length + 1);
    return text.slice(0, from) + add + text.slice(from + cut);
  };

  it('is a pipeline that runs, or is refused with its problems', () => {
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const text = edits.reduce(apply, valid);
        try {
          const placed = place(around, 'other', compileWritten(text));
          if ('problem' in placed) return placed.problem.length > 0;
          return expand(placed.plan, 'other').rows.length > 0;
        } catch (error) {
          if (error instanceof ExpressionError) return true; // a list that is none
          return isAppError(error) && error.message.length > 0;
        }
      }),
      { seed: 1, numRuns: 800 },
    );
  });
});

describe('two pipelines in one run', () => {
  const given = compileYaml(`version: 1
name: p
params: { yes: true }
steps:
  write: { run: x, outputs: { plan: pipeline } }
  first: { pipeline: steps.write.outputs.plan, if: params.yes }
  second: { pipeline: steps.write.outputs.plan }`);
  const written = compileYaml(`version: 1
name: w
steps:
  list: { run: x, outputs: { v: value } }
  each: { run: x, pool: gpu, foreach: { i: steps.list.outputs.v } }`);
  const grafted = graftPlan(given, new Map(['first', 'second'].map((key) => [key, written])));
  const run = { params: { yes: true }, resumedFrom: null };

  it('have the settings that the run gave them, whichever came first', () => {
    // the second one came first, behind the three of the plan: its foreach is at 3 + 1
    const node = { key: 'second.each', kind: 'expand', index: 2, needs: [], settings: 4 } as const;
    const lists = { params: {}, item: {}, steps: { list: { outputs: { v: [1, 2] } } } };
    const expanded = expandItems(grafted, node, { scope: lists, item: undefined });
    const { items } = verdictOf({ run, plan: grafted, node, expanded });
    expect(items.map(({ key, settings }) => [key, settings])).toEqual([
      ['second.each[0]', 4],
      ['second.each[1]', 4],
    ]);
    // those of the rows are the positions in the plan, where the first one stands first
    expect(expanded.nodes.map(({ settings }) => settings)).toEqual([6, 6]);
  });

  it('are shown with their steps; the condition had its place before', () => {
    expect(
      expandGraph(grafted, { yes: true }).nodes.map(({ key, kind }) => `${key} ${kind}`),
    ).toEqual([
      'write step',
      'first.list step',
      'first.each expand',
      'first join',
      'second.list step',
      'second.each expand',
      'second join',
    ]);
  });
});
