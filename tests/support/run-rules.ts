import type { Plan, PlanStep } from '../../schemas/plan';
import type { NaiveRun } from './naive-run';
import type { PipelineWorld } from './pipeline-world';

interface Span {
  readonly startMs: number;
  readonly endMs: number;
}
/** Where steps stand: under these words each has its key. */
type Visit = (step: PlanStep, prefix: string, beside: readonly PlanStep[]) => void;

/** What a run that has ended did against the page, in words; empty if nothing. */
export function brokenRules(plan: Plan, world: PipelineWorld, naive: NaiveRun): string[] {
  return [
    ...wrongAttempts(world, naive),
    ...wrongOrder(plan, world),
    ...tooManyAtOnce(plan, world),
  ];
}

/** "Two more attempts, after 1 s and 2 s": the count of attempts, and the waits between them. */
function wrongAttempts(world: PipelineWorld, naive: NaiveRun): string[] {
  return [...naive.attempts].flatMap(([key, { count, delaysMs }]) => {
    const of = world.attempts
      .filter((one) => one.key === key)
      .sort((a, b) => a.attempt - b.attempt);
    const waits = of.slice(1).map(({ startMs }, i) => startMs - (of[i]?.endMs ?? 0));
    const isRight = of.length === count && waits.every((wait, i) => wait === delaysMs[i]);
    return isRight ? [] : [`${key}: ${of.length} of ${count} attempts, waits ${waits.join()}`];
  });
}

/** "Steps run as soon as what they refer to is there": never before. */
function wrongOrder(plan: Plan, world: PipelineWorld): string[] {
  const wrong: string[] = [];
  visit({ steps: plan.steps, at: '' }, prefixesOf(world), (step, prefix, beside) => {
    const own = spanOf(world, prefix + step.name);
    for (const { name } of beside.filter((other) => step.needs.includes(other.name))) {
      const need = spanOf(world, prefix + name);
      if (own === undefined || need === undefined || need.endMs <= own.startMs) continue;
      wrong.push(`${prefix + step.name} began before ${name} had ended`);
    }
  });
  return wrong;
}

/** "`parallel`: how many at once"; of a sub-pipeline, how many of those. */
function tooManyAtOnce(plan: Plan, world: PipelineWorld): string[] {
  const wrong: string[] = [];
  visit({ steps: plan.steps, at: '' }, prefixesOf(world), (step, prefix) => {
    const { parallel } = step;
    if (parallel === undefined) return;
    const key = prefix + step.name;
    const items = new Set([...world.rows.keys()].flatMap((row) => itemOf(row, key) ?? []));
    const spans = [...items].flatMap((item) => spanOf(world, item) ?? []);
    for (const { startMs } of spans) {
      const at = spans.filter((one) => one.startMs <= startMs && startMs < one.endMs).length;
      if (at > parallel) wrong.push(`${key}: ${at} at once`);
    }
  });
  return wrong;
}

/** `sweep[1]` for the row `sweep[1].fit` of the foreach `sweep`. */
function itemOf(row: string, foreach: string): string | undefined {
  if (!row.startsWith(`${foreach}[`)) return undefined;
  return row.slice(0, row.indexOf(']', foreach.length) + 1);
}

/** From the first begin to the last end of all that runs under a key. */
function spanOf(world: PipelineWorld, key: string): Span | undefined {
  const isUnder = (one: string): boolean =>
    one === key || ['[', '.', '#'].some((sign) => one.startsWith(key + sign));
  const own = world.attempts.filter((one) => isUnder(one.key));
  if (own.length === 0) return undefined;
  const startMs = Math.min(...own.map((one) => one.startMs));
  return { startMs, endMs: Math.max(...own.map((one) => one.endMs)) };
}

/** Every prefix under which steps stand: '' and `sweep[0].`. */
function prefixesOf(world: PipelineWorld): string[] {
  const keys = [...world.rows.keys()];
  const inner = keys.flatMap((key) =>
    [...key.matchAll(/\./g)].map(({ index }) => key.slice(0, index + 1)),
  );
  return [...new Set(inner)];
}

function visit(
  { steps, at }: { readonly steps: readonly PlanStep[]; readonly at: string },
  prefixes: readonly string[],
  see: Visit,
): void {
  for (const step of steps) {
    see(step, at, steps);
    if (!('steps' in step)) continue;
    const own = at + step.name;
    const inside = prefixes.filter(
      (prefix) => prefix.startsWith(own) && /^(\[\d+\])?\.$/.test(prefix.slice(own.length)),
    );
    for (const prefix of inside) visit({ steps: step.steps, at: prefix }, prefixes, see);
  }
}

/** "Higher starts first among the steps that may start": those that one workflow task started. */
export function wrongPriorities(world: PipelineWorld): string[] {
  const seen = new Set<string>();
  let last = { task: -1, priority: 0 };
  return world.begins.flatMap(({ key, task }) => {
    if (seen.has(key)) return [];
    seen.add(key);
    const priority = world.rows.get(key)?.spec.priority ?? 0;
    const isLate = last.task === task && priority > last.priority;
    last = { task, priority };
    return isLate ? [`${key} with ${priority} began late`] : [];
  });
}
