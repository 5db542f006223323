import fc from 'fast-check';
import { expandGraph, expandItems } from '../../dag/expand';
import { ExpressionError } from '../../dag/expressions';
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
