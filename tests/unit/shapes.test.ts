import { validatePlan } from '../../dag/validate';
import { SHAPES } from '../graphs';
import type { Shape } from '../graphs/shape';
import { NaiveRun } from '../support/naive-run';
import { PipelineWorld } from '../support/pipeline-world';
import type { WorldOptions } from '../support/world-options';

const NAMES = Object.keys(SHAPES);
function shapeOf(name: string): Shape & { readonly behave: (key: string) => object } {
  const shape = SHAPES[name]?.();
  if (shape === undefined) throw new Error(`no shape ${name}`);
  return { ...shape, behave: (key) => shape.behaviours?.[key] ?? {} };
}
function open(name: string, options: Partial<WorldOptions> = {}): PipelineWorld {
  const { plan, behave } = shapeOf(name);
  return new PipelineWorld({ plan, behave, ...options });
}
const endOf = ({ status, statuses }: PipelineWorld) => ({ status, steps: statuses });
const isHandler = (key: string): boolean => /^(on_\w+|always)\./.test(key);

describe.each(NAMES)('the shape %s', (name) => {
  const { plan, status, steps, behave } = shapeOf(name);

  it('is a valid plan, and ends as written; the naive run says the same', async () => {
    expect(validatePlan(plan).filter(({ message }) => !message.includes('nothing'))).toEqual([]);
    expect(endOf(await open(name).run())).toEqual({ status, steps });
    const naive = new NaiveRun(plan, {}, behave);
    expect({ status: naive.status, steps: naive.statuses }).toEqual({ status, steps });
  });

  it('ends in the same way in parts and through new histories', async () => {
    const world = open(name, { segmentSteps: 7, eventFactor: 100 });
    expect(endOf(await world.run())).toEqual({ status, steps });
  });

  it('ends in the same way after a pause in the middle', async () => {
    const world = open(name);
    world.control({ action: 'pause' }, 3);
    world.control({ action: 'continue' }, 500);
    expect(endOf(await world.run())).toEqual({ status, steps });
    expect(world.temporal.answers[0]?.answer).toBe(true);
  });

  it('is cancelled in the middle, and only `always` runs then', async () => {
    const world = open(name);
    world.cancel(3);
    await world.run();
    expect(world.status).toBe('cancelled');
    const own = Object.entries(world.statuses).filter(([key]) => !isHandler(key));
    expect(own.filter(([, shown]) => shown === 'cancelled').length).toBeGreaterThan(0);
    for (const [key, shown] of own) expect(['cancelled', steps[key]]).toContain(shown);
    const handlers = Object.keys(world.statuses).filter(isHandler);
    expect(handlers).toEqual((plan.always ?? []).map((step) => `always.${step.name}`));
  });

  it('is resumed without what went wrong: what had succeeded is not run again', async () => {
    const first = await open(name).run();
    const done = Object.entries(first.statuses).filter(([, shown]) => shown === 'succeeded');
    const reused = new Set(done.map(([key]) => key).filter((key) => !isHandler(key)));
    const well = (key: string) => ({ ...behave(key), failures: [] });
    const second = await open(name, { behave: well, reused }).run();
    expect(second.status).toBe('succeeded');
    const settings = (key: string): boolean => second.rows.get(key)?.spec.uses !== undefined;
    const again = second.attempts.filter(({ key }) => reused.has(key) && !settings(key));
    expect(again).toEqual([]);
  });
});
