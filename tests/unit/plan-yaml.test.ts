import fc from 'fast-check';
import { planId } from '../../dag/plan-id';
import { validatePlan } from '../../dag/validate';
import { Plan } from '../../schemas/plan';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { planToYaml } from '../../sdk/plan-yaml';
import { compileByBuilder } from '../support/plan-program';
import { anyPlan } from '../support/random-plans';

describe('a plan with any of the language’s keys', () => {
  it('is valid, and is what its own schema takes', () => {
    fc.assert(
      fc.property(anyPlan, (plan) => {
        expect(validatePlan(plan)).toEqual([]);
        expect(Plan.parse(plan)).toEqual(plan);
      }),
    );
  });

  it('comes back the same from YAML, with the same id', () => {
    fc.assert(
      fc.property(anyPlan, (plan) => {
        const again = compileYaml(planToYaml(plan));
        expect(again).toEqual(plan);
        expect(planId(again)).toBe(planId(plan));
      }),
      { numRuns: 100 },
    );
  });

  it('comes back the same from TypeScript that makes it step by step', () => {
    fc.assert(
      fc.property(anyPlan, (plan) => {
        expect(compileByBuilder(plan)).toEqual(plan);
      }),
      { numRuns: 100 },
    );
  });

  it('has each key in some plan', () => {
    const seen = new Set<string>();
    const visit = (value: unknown): void => {
      if (value === null || typeof value !== 'object') return;
      for (const [key, inner] of Object.entries(value)) {
        if (!Array.isArray(value)) seen.add(key);
        visit(inner);
      }
    };
    for (const plan of fc.sample(anyPlan, { numRuns: 200, seed: 1 })) visit(plan);
    for (const key of KEYS) expect(seen).toContain(key);
  });
});

const KEYS = [
  'argv', 'uses', 'with', 'inputs', 'outputs', 'kind', 'path', 'metric', 'value', 'if', 'after', 'foreach',
  'parallel', 'itemsMax', 'minSuccess', 'stopAfter', 'needs', 'pool', 'timeoutSeconds',
  'totalTimeoutSeconds', 'deadlineSeconds', 'retry', 'delaySeconds', 'factor', 'maxDelaySeconds', 'priority', 'env',
  'secrets', 'adopt', 'mlflow', 'checkpoint', 'heartbeat', 'cache', 'ttlSeconds', 'files', 'values', 'steps',
  'onSuccess', 'onFailure', 'always',
]; // prettier-ignore

describe('planToYaml', () => {
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
