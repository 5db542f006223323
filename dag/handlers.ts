import type { Graph, GraphNode } from '../schemas/graph';
import type { Plan, StepSpec } from '../schemas/plan';
import { namesOf } from './names';
import type { Names } from './names';
import { settingsOf } from './templates';

/** How the steps of a run ended, as its handlers see it. */
export type RunOutcome = 'succeeded' | 'failed' | 'cancelled';
/** What a handler may read besides params and outputs: `run.status` and `run.reason`. */
export interface EndedRun {
  readonly status: RunOutcome;
  readonly reason: string; // '' if there is none
}

/** The lists of handlers by the key under which they stand in the file and in the graph. */
export function handlersOf(plan: Plan): Readonly<Record<string, readonly StepSpec[]>> {
  const { onSuccess = [], onFailure = [], always = [] } = plan;
  return { on_success: onSuccess, on_failure: onFailure, always };
}

/** A handler with the key of its node, `on_failure.notify`, as its name: what its row holds. */
export function handlerSteps(plan: Plan, outcome: RunOutcome): StepSpec[] {
  const lists = handlersOf(plan);
  const own = { succeeded: 'on_success', failed: 'on_failure', cancelled: undefined }[outcome];
  const keys = own === undefined ? ['always'] : [own, 'always'];
  return keys.flatMap((key) =>
    (lists[key] ?? []).map((step) => ({ ...step, name: `${key}.${step.name}` })),
  );
}

/**
 * What runs when all steps have ended: one handler after the other, however those before it end.
 * After a cancel only `always` runs. `settings` go with `handlerSteps`, position by position.
 */
export function handlerGraph(plan: Plan, outcome: RunOutcome): Graph {
  const steps = handlerSteps(plan, outcome);
  const nodes = steps.map(({ name: key }, index): GraphNode => {
    const before = steps[index - 1]?.name;
    const after = before === undefined ? {} : { after: [before] };
    return { key, kind: 'step', index, needs: [], ...after, settings: index };
  });
  const settings = steps.map((spec) => settingsOf({ spec, path: spec.name }));
  return { nodes, settings, groups: {} };
}

/** The names that a handler may use: all steps of the plan, and the run's end. */
export function handlerNames(plan: Plan): Names {
  return { ...namesOf(plan), isHandler: true };
}
