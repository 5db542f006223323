import { expandItems, type Expanded } from '../dag/expand';
import { evaluate, ExpressionError, parseExpression } from '../dag/expressions';
import { found, isAppError } from '../errors/app-error';
import type { GraphNode, NodeGroup } from '../schemas/graph';
import type { Plan } from '../schemas/plan';
import { findStep, insertSteps, type StoredStep } from '../storage/postgres/steps';
import { getPipelineRun, type PipelineRunDeps } from './pipeline-runs';
import { decideReuse, type ReuseVerdict } from './reuse';
import { getPlan } from './plans';
import { toSteps, withoutItems } from './segments';
import { scopeOf } from './step-scope';

export interface DecideStep {
  readonly projectId: string;
  readonly runId: string;
  readonly node: GraphNode;
}
/** What becomes of a node whose needs have ended. */
export type StepVerdict =
  | ReuseVerdict
  | Judged
  | {
      readonly verdict: 'expand';
      /** All nodes of the items; those of a sub-pipeline are many. */
      readonly items: readonly GraphNode[];
      /** Rules of what stands inside the items, by the key of its join. */
      readonly groups: Readonly<Record<string, NodeGroup>>;
    };

export type Judged =
  | { readonly verdict: 'run' }
  | { readonly verdict: 'skip'; readonly reason: string }
  | { readonly verdict: 'fail'; readonly reason: string };
type Scope = Readonly<Record<string, unknown>>;

/**
 * Works out the `if` of a step and the list of its foreach, now that what they read is there, and
 * whether its result is there already. The rows of new items are written. Idempotent: outputs do not
 * change once they are committed.
 */
export async function decideStep(
  deps: PipelineRunDeps,
  { projectId, runId, node }: DecideStep,
): Promise<StepVerdict> {
  const key = { projectId, runId, stepKey: node.key };
  const step = found(await findStep(deps.postgres, key), 'step', node.key);
  const run = await getPipelineRun(deps, { projectId, id: runId });
  const { scope } = await scopeOf(deps, run, { projectId, ...step });
  const verdict = node.kind === 'expand' ? { verdict: 'run' as const } : judge(step, scope);
  if (verdict.verdict !== 'run') return verdict;
  if (node.kind !== 'expand') return decideReuse(deps, { run, key, step });
  const plan = await getPlan(deps, { projectId, id: run.planId });
  const expanded = expandNode({ plan, node, item: step.item }, scope);
  if ('verdict' in expanded) return expanded;
  const { nodes, groups } = expanded;
  await insertSteps(deps.postgres, { projectId, runId, steps: toSteps(plan, nodes) });
  return { verdict: 'expand', items: withoutItems(nodes), groups };
}

/** Whether a step's `if` lets it run. */
export function judge({ spec }: Pick<StoredStep, 'spec'>, scope: Scope): Judged {
  if (spec.if === undefined) return { verdict: 'run' };
  try {
    const value = evaluate(parseExpression(spec.if), scope);
    if (value === true) return { verdict: 'run' };
    if (value === false) return { verdict: 'skip', reason: `its condition is false: ${spec.if}` };
    const found = JSON.stringify(value);
    return fail(`its condition gave ${found}, which is neither true nor false`);
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    return fail(`its condition cannot be worked out: ${error.message}`);
  }
}

/** A foreach whose list was not known before, with the variables of those around it. */
interface LateNode {
  readonly plan: Plan;
  readonly node: GraphNode;
  readonly item: StoredStep['item'];
}
/** The items of a foreach, or why there are none. */
export function expandNode({ plan, node, item }: LateNode, scope: Scope): Expanded | Judged {
  try {
    return expandItems(plan, node, { scope, item });
  } catch (error) {
    if (error instanceof ExpressionError) return fail(`its list: ${error.message}`);
    if (isAppError(error)) return fail(error.message);
    throw error;
  }
}

function fail(reason: string): Judged {
  return { verdict: 'fail', reason };
}
