import { expandItems, type Expanded } from '../dag/expand';
import { evaluate, ExpressionError, parseExpression } from '../dag/expressions';
import { found, isAppError } from '../errors/app-error';
import { DYNAMIC } from '../dag/templates';
import type { GraphNode } from '../schemas/graph';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type { Plan } from '../schemas/plan';
import { findStep, type StoredStep } from '../storage/postgres/steps';
import { getPipelineRun, type PipelineRunDeps } from './pipeline-runs';
import { storeExpansion, type ExpandVerdict } from './expansions';
import { readFragment, tooManySteps, type ReadPipeline } from './fragments';
import { decideReuse, type ReuseVerdict } from './reuse';
import { planOfRun } from './plans';
import { scopeOf } from './step-scope';

export interface DecideStep {
  readonly projectId: string;
  readonly runId: string;
  readonly node: GraphNode;
}
/** What decisions need; the pipeline language stands above this folder, so its reader is given. */
export interface DecisionDeps extends PipelineRunDeps {
  readonly readPipeline: ReadPipeline;
}
/** What becomes of a node whose needs have ended. */
export type StepVerdict = ReuseVerdict | Judged | ExpandVerdict;

export type Judged =
  | { readonly verdict: 'run' }
  | { readonly verdict: 'skip'; readonly reason: string }
  | { readonly verdict: 'fail'; readonly reason: string };
type Scope = Readonly<Record<string, unknown>>;

/**
 * Works out the `if` of a step, the list of its foreach and the pipeline that was written for it, now
 * that what they read is there, and whether its result is there already. The rows of new steps are
 * written. Idempotent: outputs do not change once they are committed.
 */
export async function decideStep(
  deps: DecisionDeps,
  { projectId, runId, node }: DecideStep,
): Promise<StepVerdict> {
  const key = { projectId, runId, stepKey: node.key };
  const step = found(await findStep(deps.postgres, key), 'step', node.key);
  const run = await getPipelineRun(deps, { projectId, id: runId });
  const { scope } = await scopeOf(deps, run, { projectId, ...step });
  const isDynamic = step.spec.uses === DYNAMIC;
  // the condition of a foreach is one of each item
  const isAsked = node.kind !== 'expand' || isDynamic;
  const verdict = isAsked ? judge(step, scope) : ({ verdict: 'run' } as const);
  if (verdict.verdict !== 'run') return verdict;
  if (node.kind !== 'expand') return decideReuse(deps, { run, key, step });
  const plan = await planOfRun(deps, { projectId, runId, planId: run.planId });
  const asked = { projectId, run, plan, node, step, scope };
  return isDynamic ? decideFragment(deps, asked) : decideItems(deps, asked);
}

interface Asked {
  readonly projectId: string;
  readonly run: PipelineRun;
  readonly plan: Plan; // with what was written so far
  readonly node: GraphNode;
  readonly step: StoredStep;
  readonly scope: Scope;
}

async function decideItems(deps: DecisionDeps, asked: Asked): Promise<StepVerdict> {
  const expanded = expandNode({ ...asked, item: asked.step.item }, asked.scope);
  return 'verdict' in expanded ? expanded : storeExpansion(deps, { ...asked, expanded });
}

async function decideFragment(deps: DecisionDeps, asked: Asked): Promise<StepVerdict> {
  const { node, scope } = asked;
  const fragment = await readFragment(deps.readPipeline, asked);
  if ('problem' in fragment) return fail(fragment.problem);
  const expanded = expandNode({ plan: fragment.plan, node, item: undefined }, scope);
  if ('verdict' in expanded) return expanded;
  const tooMany = tooManySteps(expanded.nodes);
  if (tooMany !== undefined) return fail(tooMany);
  return storeExpansion(deps, { ...asked, ...fragment, expanded });
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
/** The items of a foreach or the steps of a dynamic step, or why there are none. */
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
