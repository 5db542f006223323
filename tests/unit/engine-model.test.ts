import fc from 'fast-check';
import type { GraphNode } from '../../schemas/graph';
import { NaiveRun } from '../support/naive-run';
import { PipelineWorld } from '../support/pipeline-world';
import type { WorldOptions } from '../support/world-options';
import { anyRun, type RandomRun } from '../support/random-runs';
import { brokenRules, wrongPriorities } from '../support/run-rules';

/**
 * The workflows on a small Temporal in this process, against an evaluator that follows the sentences
 * of docs/pipelines.md over the plan alone. `ANNEAL_MODEL_RUNS=20` makes twenty times as many runs, and
 * `ANNEAL_MODEL_SEED` others.
 */
const FACTOR = Number(process.env['ANNEAL_MODEL_RUNS'] ?? 1);
const SEED = Number(process.env['ANNEAL_MODEL_SEED'] ?? 1);
const often = (numRuns: number) => ({ numRuns: numRuns * FACTOR, seed: SEED });

/** How a run is carried out: in parts of so many nodes, and with so many histories. */
const layout = fc.record({
  segmentSteps: fc.constantFrom(4, 9, 400),
  eventFactor: fc.constantFrom(1, 1, 100),
});
const moment = fc.integer({ min: 1, max: 60 });
const paused = fc
  .tuple(layout, moment, moment)
  .map(([options, from, length]) => ({ ...options, from, length, queueMs: 20 }));

function open({ plan, behave, seed }: RandomRun, options: Partial<WorldOptions>): PipelineWorld {
  return new PipelineWorld({ plan, behave, seed, ...options });
}
function naively({ plan, behave }: Pick<RandomRun, 'plan' | 'behave'>): NaiveRun {
  return new NaiveRun(plan, {}, behave);
}
const isStep = ({ kind }: GraphNode): boolean => kind === 'step';
const endOf = ({ status, statuses }: PipelineWorld | NaiveRun) => ({ status, statuses });

describe('a random run', () => {
  it('ends as the page says, in parts and through new histories, within its limits', async () => {
    await fc.assert(
      fc.asyncProperty(anyRun, layout, async (run, options) => {
        const world = await open(run, options).run();
        const naive = naively(run);
        expect(endOf(world)).toEqual(endOf(naive));
        expect(brokenRules(run.plan, world, naive)).toEqual([]);
      }),
      often(900),
    );
  });

  it('starts first what has the higher priority', async () => {
    await fc.assert(
      fc.asyncProperty(anyRun, async (run) => {
        expect(wrongPriorities(await open(run, {}).run())).toEqual([]);
      }),
      often(300),
    );
  });

  it('starts nothing while it is paused, and ends as if it had not been', async () => {
    await fc.assert(
      fc.asyncProperty(anyRun, paused, async (run, { from, length, ...options }) => {
        const world = open(run, options);
        const startMs = world.temporal.nowMs;
        world.control({ action: 'pause' }, from);
        world.control({ action: 'continue' }, from + length);
        await world.run();
        expect(endOf(world)).toEqual(endOf(naively(run)));
        // from the answer on, which comes at once unless a history is about to begin
        const since = world.temporal.answers[0]?.atMs ?? startMs + from;
        const until = startMs + from + length;
        const known = new Set(
          world.begins.filter(({ atMs }) => atMs <= since).map(({ key }) => key),
        );
        const begun = world.begins.filter(({ key, atMs }) => atMs < until && !known.has(key));
        // parts hear of it a moment later; what they decide until then begins nothing
        const isOne = world.segments.length === 1;
        expect(begun.filter(({ isDecision }) => isOne || !isDecision)).toEqual([]);
      }),
      often(300),
    );
  });

  it('takes a change for a part that has not started', async () => {
    const early = fc.record({ segmentSteps: fc.constant(4), eventFactor: fc.constant(1) });
    await fc.assert(
      fc.asyncProperty(anyRun, early, fc.nat(), async (run, options, pick) => {
        const world = open(run, options);
        const steps = world.segments.flatMap(({ nodes }) => nodes).filter(isStep);
        const key = steps[pick % steps.length]?.key ?? '';
        world.control({ action: 'skip', stepKey: key }, 2);
        await world.run();
        const answeredMs = world.temporal.answers[0]?.atMs ?? 0;
        const hadBegun = world.begins.some((one) => one.key === key && one.atMs <= answeredMs);
        expect(hadBegun ? 'skipped' : world.statuses[key]).toBe('skipped');
      }),
      often(300),
    );
  });

  it('is cancelled in the middle: what had ended stays, nothing else begins', async () => {
    await fc.assert(
      fc.asyncProperty(anyRun, layout, moment, async (run, options, at) => {
        const world = open(run, options);
        const startMs = world.temporal.nowMs;
        world.cancel(at);
        await world.run();
        const naive = naively(run);
        const statuses = Object.entries(world.statuses);
        const cancelled = statuses.filter(([, status]) => status === 'cancelled');
        // a part that has not heard yet how the others ended is cancelled with nothing left to run
        const ends = world.segments.length > 1 ? ['cancelled', naive.status] : [naive.status];
        expect(cancelled.length > 0 ? ['cancelled'] : ends).toContain(world.status);
        for (const [key, status] of statuses) {
          expect(['cancelled', naive.statuses[key]]).toContain(status);
        }
        // what the very first task starts of a run that is cancelled by then, it stops at once
        const [first] = world.begins;
        const late = world.begins.filter(
          ({ atMs, task }) => atMs > startMs + at && task !== first?.task,
        );
        // parts hear of it later, and each new history begins like the first
        const isOne = world.segments.length === 1 && options.eventFactor === 1;
        expect(cancelled.length > 0 && isOne ? late : []).toEqual([]);
      }),
      often(300),
    );
  });

  it('is resumed after a failure: what had succeeded is not run again', async () => {
    await fc.assert(
      fc.asyncProperty(anyRun, layout, async (run, options) => {
        const first = await open(run, options).run();
        const before = Object.entries(first.statuses).filter(
          ([, status]) => status === 'succeeded',
        );
        const reused = new Set(before.map(([key]) => key));
        const behave = (key: string) => ({ ...run.behave(key), failures: [] });
        const second = await open({ ...run, behave }, { ...options, reused }).run();
        expect(endOf(second)).toEqual(endOf(naively({ ...run, behave })));
        const again = second.attempts.filter(({ key }) => reused.has(key) && !key.includes('#'));
        expect(again).toEqual([]);
      }),
      often(200),
    );
  });
});
