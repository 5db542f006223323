import { expandGraph } from '../dag/expand';
import { ExpressionError } from '../dag/expressions';
import { graftPlan } from '../dag/fragments';
import { handlersOf } from '../dag/handlers';
import { isComposite } from '../dag/names';
import { resolveParams } from '../dag/params';
import { planId } from '../dag/plan-id';
import { needsOf, validatePlan } from '../dag/validate';
import { AppError, found, type Problem } from '../errors/app-error';
import type { Graph } from '../schemas/graph';
import { Params, Plan, PLAN_LIMITS, type PlanStep } from '../schemas/plan';
import type { Postgres } from '../storage/postgres/client';
import { findPlanFragments } from '../storage/postgres/plan-fragments';
import { findPlan } from '../storage/postgres/plans';

/** A plan that was checked together with the parameters of one run. */
export interface PreparedPlan {
  readonly planId: string;
  readonly plan: Plan;
  readonly params: Params;
  readonly graph: Graph;
}
/** Enough to correct several mistakes at once, short enough for a log line. */
const PROBLEMS_IN_MESSAGE_MAX = 10;

/** Checks a plan from outside; INVALID_PLAN lists every problem. */
export function checkPlan(given: unknown): Plan {
  const plan = parsePlan(given);
  const bytes = Buffer.byteLength(JSON.stringify(plan));
  if (bytes > PLAN_LIMITS.planBytesMax) {
    const message = `The plan has ${bytes} bytes; at most ${PLAN_LIMITS.planBytesMax} are taken.`;
    throw new AppError('TOO_LARGE', message);
  }
  // only a plan with the right `needs` runs its steps in the right order
  const problems = [...validatePlan(plan), ...checkNeeds(plan)];
  if (problems.length > 0) throw invalidPlan(plan.name, problems);
  return plan;
}

/** Checks plan and parameters from outside; INVALID_PLAN or INVALID_ARGUMENT lists every problem. */
export function preparePlan(given: {
  readonly plan: unknown;
  readonly params: unknown;
}): PreparedPlan {
  const plan = checkPlan(given.plan);
  const parsed = Params.safeParse(given.params ?? {});
  if (!parsed.success) throw new AppError('INVALID_ARGUMENT', 'The params are not a JSON object.');
  const params = resolveParams(plan, parsed.data);
  return { planId: planId(plan), plan, params, graph: expand(plan, params) };
}

/** Checks a plan, given as it is or as the id of a stored one, with the params of a run. */
export async function prepareStored(
  deps: { readonly postgres: Postgres },
  input: {
    readonly projectId: string;
    readonly plan?: Plan | undefined;
    readonly planId?: string | undefined;
    readonly params?: Params | undefined;
  },
): Promise<PreparedPlan> {
  const { projectId, planId: id, params } = input;
  if ((input.plan === undefined) === (id === undefined)) {
    throw new AppError('INVALID_ARGUMENT', "Give exactly one of 'plan' and 'planId'.");
  }
  if (id === undefined) return preparePlan({ plan: input.plan, params });
  return preparePlan({ plan: await getPlan(deps, { projectId, id }), params });
}

/** A stored plan, or NOT_FOUND. */
export async function getPlan(
  deps: { readonly postgres: Postgres },
  key: { readonly projectId: string; readonly id: string },
): Promise<Plan> {
  return found(await findPlan(deps.postgres, key), 'plan', key.id);
}

/** The plan of a run, with what its steps have written so far in place. */
export async function planOfRun(
  deps: { readonly postgres: Postgres },
  run: { readonly projectId: string; readonly runId: string; readonly planId: string },
): Promise<Plan> {
  const { projectId, planId: id } = run;
  const [plan, fragments] = await Promise.all([
    getPlan(deps, { projectId, id }),
    findPlanFragments(deps.postgres, run),
  ]);
  return graftPlan(
    plan,
    new Map(fragments.map(({ stepKey, plan: written }) => [stepKey, written])),
  );
}

/** How many steps something holds that may be a plan, at any depth. */
function countGiven(given: unknown, depth = 0): number {
  const steps: unknown =
    given !== null && typeof given === 'object' && 'steps' in given && given.steps;
  if (!Array.isArray(steps) || depth > PLAN_LIMITS.depthMax) return 0;
  return steps.reduce<number>((sum, step) => sum + countGiven(step, depth + 1), steps.length);
}

function parsePlan(given: unknown): Plan {
  const count = countGiven(given);
  if (count > PLAN_LIMITS.stepsMax) {
    // what is far too large is not looked at in detail: its problems alone would take many seconds
    const message = `are ${count}; at most ${PLAN_LIMITS.stepsMax}: join some of them.`;
    throw invalidPlan('plan', [{ path: 'steps', message }]);
  }
  const parsed = Plan.safeParse(given);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => ({
    path: issue.path.map(String).join('.'),
    message: issue.message,
  }));
  throw invalidPlan('plan', problems);
}

function checkNeeds(plan: Plan): Problem[] {
  return stepsIn(plan).flatMap(({ step, path }) => {
    const needs = needsOf(step);
    if (JSON.stringify(needs) === JSON.stringify(step.needs)) return [];
    const message = `must be [${needs.join(', ')}], as its expressions and 'after' say.`;
    return [{ path: `${path}.needs`, message }];
  });
}

interface PlacedStep {
  readonly step: PlanStep;
  readonly path: string;
}

/** All steps of a plan, those of its sub-pipelines and handlers too, and where each stands. */
function stepsIn(plan: Plan): PlacedStep[] {
  const handlers = Object.entries(handlersOf(plan)).flatMap(([key, steps]) =>
    steps.map((step, i) => ({ step, path: `${key}[${i}]` })),
  );
  return [...plan.steps.flatMap((step) => withInner(step, 'steps')), ...handlers];
}

function withInner(step: PlanStep, above: string): PlacedStep[] {
  const path = `${above}.${step.name}`;
  const inner = isComposite(step) ? step.steps : [];
  return [{ step, path }, ...inner.flatMap((other) => withInner(other, `${path}.steps`))];
}

function expand(plan: Plan, params: Params): Graph {
  try {
    return expandGraph(plan, params);
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    throw new AppError('INVALID_ARGUMENT', `A foreach cannot be expanded: ${error.message}.`);
  }
}

function invalidPlan(name: string, problems: readonly Problem[]): AppError {
  const message = `The pipeline '${name}' is not valid: ${describeProblems(problems)}`;
  return new AppError('INVALID_PLAN', message, { problems });
}

/** The first problems in one line, each with its place. */
export function describeProblems(problems: readonly Problem[]): string {
  const shown = problems.slice(0, PROBLEMS_IN_MESSAGE_MAX).map(({ line, path, message }) => {
    const where = line === undefined ? '' : `line ${line}: `;
    return where + `${path} ${message}`.trim();
  });
  const more = problems.length - shown.length;
  return shown.join('; ') + (more > 0 ? ` … and ${more} more` : '');
}
