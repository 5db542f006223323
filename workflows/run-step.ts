import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import { CancellationScope, sleep } from '@temporalio/workflow';
import type { StepVerdict } from '../pipelines/decisions';
import type { ExpandVerdict } from '../pipelines/expansions';
import type { ExecuteStepInput } from '../schemas/attempts';
import type { GraphNode, NodeSettings } from '../schemas/graph';
import type { FailureClass } from '../schemas/plan';
import type { ExpandedNode, SpentBudget } from './contract';
import { decideStep, executeBuiltin, executeStep } from './proxies';
import {
  classify,
  decideRetry,
  isHeld,
  isInfrastructure,
  type FailureCounts,
  type RetryDecision,
} from './retry';
import type { TransitionLog } from './transition-log';
import type { Waits } from './waits';

/** Soon enough for quick steps; later each look costs the history of a long one some ten events. */
const WAIT_MS_MIN = 2_000;
const WAIT_MS_MAX = 30_000;
/** Before a held attempt is asked for again in a run that goes on. */
const HELD_MS = 1_000;
const NOTHING_SPENT: SpentBudget = { user: 0, infrastructure: 0, ms: 0 };

/** The run that a step belongs to, as its steps see it. */
export interface StepContext {
  readonly projectId: string;
  readonly runId: string;
  readonly log: TransitionLog;
  /** 1 (first) to 5, as it is now. */
  readonly priority: () => number;
  /** Steps that wait for the same work elsewhere: nothing is lost if they ask anew. */
  readonly waits: Waits;
}
export interface RunStep {
  readonly node: GraphNode;
  readonly settings: NodeSettings;
  /** Attempts before: a step that somebody has run again goes on counting. */
  readonly attempts: number;
  /** What they have used up, if a pause has held the next one. */
  readonly spent?: SpentBudget | undefined;
  /** Why a step in a cancelled scope was stopped. */
  readonly whyStopped: () => Stopped;
}
export interface Stopped {
  readonly end: 'cancelled' | 'skipped';
  readonly reason: string;
}
/**
 * How a step ended; `expanded` is one that knows now what is inside, `held` a step whose next attempt
 * did not begin because the run is paused: it is to run later, as if it had not been asked.
 */
export type StepEnd =
  | { readonly key: string; readonly end: 'succeeded' }
  | {
      readonly key: string;
      readonly end: 'failed' | Stopped['end'];
      readonly reason: string;
      readonly attempt: number; // the last one; 0 if there was none
    }
  | {
      readonly key: string;
      readonly end: 'held';
      readonly attempt: number; // the last one that began; 0 if none did
      readonly spent: SpentBudget;
    }
  | (ExpandedNode & { readonly end: 'expanded' });

/** Runs a node to its end: what it waits for has ended. Rows of successes are written by who runs it. */
export async function runStep(context: StepContext, step: RunStep): Promise<StepEnd> {
  const { node, settings } = step;
  const readyAtMs = Date.now();
  if (settings.conditional || node.kind === 'expand') {
    const verdict = await judge(context, step);
    if (verdict !== undefined) return verdict;
  }
  if (settings.builtin) return runBuiltin(context, step, readyAtMs);
  return runAttempts(context, step, readyAtMs);
}

/** Works out the `if` and the list of a node, and looks for its result; undefined if it is to run. */
async function judge(context: StepContext, step: RunStep): Promise<StepEnd | undefined> {
  const { log } = context;
  const { attempts: attempt } = step;
  const { key } = step.node;
  const add = (state: 'skipped' | 'failed', reason: string): StepEnd => {
    log.add({ stepKey: key, attempt, state, reason });
    return { key, end: state, reason, attempt };
  };
  try {
    const verdict = await askUntilDecided(context, step);
    if (verdict.verdict === 'skip') return add('skipped', verdict.reason);
    if (verdict.verdict === 'fail') return add('failed', verdict.reason);
    if (verdict.verdict === 'run') return undefined;
    if (verdict.verdict === 'reuse') return { key, end: 'succeeded' };
    log.add({ stepKey: key, attempt: 0, state: 'started', reason: describeItems(key, verdict) });
    return { key, end: 'expanded', ...verdict };
  } catch (error) {
    if (isCancelled()) return stop(context, step, attempt);
    return add('failed', causeOf(error).message);
  }
}

function describeItems(key: string, { items, settings }: ExpandVerdict): string {
  const own = items.filter(({ group }) => group === key).length;
  return settings === undefined ? `${own} items` : `${own} steps`;
}

/** Asks again while another step is at the same work; a wait may go on in a new history. */
async function askUntilDecided(
  { projectId, runId, waits }: StepContext,
  { node }: RunStep,
): Promise<Exclude<StepVerdict, { readonly verdict: 'wait' }>> {
  for (let delayMs = WAIT_MS_MIN; ; delayMs = Math.min(delayMs * 2, WAIT_MS_MAX)) {
    const verdict = await decideStep({ projectId, runId, node });
    if (verdict.verdict !== 'wait') return verdict;
    await waits.pause(node.key, delayMs);
  }
}

/** Attempt after attempt until one commits or a budget is spent. */
async function runAttempts(context: StepContext, step: RunStep, nowMs: number): Promise<StepEnd> {
  const { node, settings, spent = NOTHING_SPENT } = step;
  let counts: FailureCounts = spent;
  let readyAtMs = nowMs;
  const firstReadyAtMs = nowMs - spent.ms;
  for (let attempt = step.attempts + 1; ; attempt += 1) {
    try {
      const input = inputOf(context, { ...step, attempt, readyAtMs });
      const leftSeconds = secondsLeft(settings, firstReadyAtMs);
      const timeoutSeconds = Math.min(input.timeoutSeconds, leftSeconds);
      await executeStep(settings, { ...input, timeoutSeconds }, context.priority());
      return { key: node.key, end: 'succeeded' };
    } catch (error) {
      if (isCancelled()) return stop(context, step, attempt);
      if (isHeld(error)) {
        const spentNow = { ...counts, ms: readyAtMs - firstReadyAtMs };
        return hold(context, step, { attempt, spent: spentNow });
      }
      const ended = failAttempt(context, { ...step, attempt, error, counts, firstReadyAtMs });
      if ('end' in ended) return ended;
      if (!(await pause(ended.delayMs))) return stop(context, step, attempt);
      counts = ended.counts;
      readyAtMs = Date.now();
    }
  }
}

function inputOf(
  { projectId, runId }: StepContext,
  step: RunStep & { readonly attempt: number; readonly readyAtMs: number },
): ExecuteStepInput {
  const { attempt, readyAtMs } = step;
  const { timeoutSeconds, graceSeconds } = step.settings;
  const stepKey = step.node.key;
  return { projectId, runId, stepKey, attempt, readyAtMs, timeoutSeconds, graceSeconds };
}

/** Idempotent and quick, so Temporal repeats it and there is one attempt only. */
async function runBuiltin(
  context: StepContext,
  step: RunStep,
  readyAtMs: number,
): Promise<StepEnd> {
  const { node } = step;
  const attempt = step.attempts + 1;
  try {
    await executeBuiltin(inputOf(context, { ...step, attempt, readyAtMs }), context.priority());
    return { key: node.key, end: 'succeeded' };
  } catch (error) {
    if (isCancelled()) return stop(context, step, attempt);
    if (isHeld(error)) return hold(context, step, { attempt, spent: NOTHING_SPENT });
    const cause = causeOf(error);
    const reason = cause.message;
    const failureClass = cause instanceof ApplicationFailure ? 'data' : 'timeout';
    context.log.add({ stepKey: node.key, attempt, state: 'failed', reason, failureClass });
    return { key: node.key, end: 'failed', reason, attempt };
  }
}

/** The attempt did not begin: it comes again, under the same number, when the run goes on. */
async function hold(
  context: StepContext,
  step: RunStep,
  { attempt, spent }: { readonly attempt: number; readonly spent: SpentBudget },
): Promise<StepEnd> {
  // the pause has ended meanwhile, or is not known here yet
  const isKnown = context.waits.isPaused || (await pause(HELD_MS));
  if (!isKnown) return stop(context, step, attempt);
  return { key: step.node.key, end: 'held', attempt: attempt - 1, spent };
}

function causeOf(error: unknown): Error {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  return cause instanceof Error ? cause : new Error(String(cause));
}

interface FailedAttempt extends Pick<RunStep, 'node' | 'settings'> {
  readonly attempt: number;
  readonly error: unknown;
  readonly counts: FailureCounts;
  readonly firstReadyAtMs: number;
}

/** How much of the time for all attempts is left, at least a second; without a limit, for ever. */
function secondsLeft({ totalTimeoutSeconds }: NodeSettings, firstReadyAtMs: number): number {
  if (totalTimeoutSeconds === undefined) return Infinity;
  return Math.max(1, Math.ceil(totalTimeoutSeconds - (Date.now() - firstReadyAtMs) / 1000));
}

/** The decision by class and budgets; none if another attempt would begin after the total timeout. */
function decide(
  { settings, counts, firstReadyAtMs }: FailedAttempt,
  failureClass: FailureClass,
): RetryDecision {
  const decision = decideRetry(settings, failureClass, counts);
  const { totalTimeoutSeconds } = settings;
  if (!decision.isRetried || totalTimeoutSeconds === undefined) return decision;
  const spentMs = Date.now() + decision.delayMs - firstReadyAtMs;
  if (spentMs < totalTimeoutSeconds * 1000) return decision;
  return { isRetried: false, why: `the ${totalTimeoutSeconds} s for all attempts are spent` };
}

/** Classifies a failed attempt: the end of the step, or how long to wait for the next attempt. */
function failAttempt(
  context: StepContext,
  failed: FailedAttempt,
): StepEnd | { readonly delayMs: number; readonly counts: FailureCounts } {
  const { node, attempt, error, counts } = failed;
  const { failureClass, reason } = classify(error);
  const decision = decide(failed, failureClass);
  const isLost = isInfrastructure(failureClass);
  const step = { stepKey: node.key, attempt, failureClass, isLost };
  if (!decision.isRetried) {
    const why = `${failureClass}: ${reason} (${decision.why})`;
    context.log.add({ ...step, state: 'failed', reason: why });
    return { key: node.key, end: 'failed', reason: why, attempt };
  }
  const when = decision.delayMs === 0 ? 'now' : `in ${decision.delayMs / 1000} s`;
  const why = `${failureClass}: ${reason}; attempt ${attempt + 1} ${when}`;
  context.log.add({ ...step, state: 'retrying', reason: why });
  return {
    delayMs: decision.delayMs,
    counts: {
      user: counts.user + (isLost ? 0 : 1),
      infrastructure: counts.infrastructure + (isLost ? 1 : 0),
    },
  };
}

/** Waits, also through restarts of everything; false if the run was cancelled meanwhile. */
async function pause(delayMs: number): Promise<boolean> {
  if (delayMs === 0) return true;
  try {
    await sleep(delayMs);
    return true;
  } catch (error) {
    if (isCancelled()) return false;
    throw error;
  }
}

function stop(context: StepContext, { node, whyStopped }: RunStep, attempt: number): StepEnd {
  const { end, reason } = whyStopped();
  context.log.add({ stepKey: node.key, attempt, state: end, reason });
  return { key: node.key, end, reason, attempt };
}

function isCancelled(): boolean {
  return CancellationScope.current().consideredCancelled;
}
