import type { Plan } from '../schemas/plan';

/** A step of a plan and all that, directly or through others, depend on it. */
export function withFollowers(plan: Pick<Plan, 'steps'>, name: string): string[] {
  const waiters = new Map<string, string[]>();
  for (const step of plan.steps) {
    for (const need of step.needs) waiters.set(need, [...(waiters.get(need) ?? []), step.name]);
  }
  const found = new Set([name]);
  // a set that grows while it is walked is walked to its end
  for (const at of found) for (const waiter of waiters.get(at) ?? []) found.add(waiter);
  return [...found];
}
