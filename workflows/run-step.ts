import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import { CancellationScope, sleep } from '@temporalio/workflow';
import type { StepVerdict } from '../pipelines/decisions';
import type { ExecuteStepInput } from '../schemas/attempts';
import type { GraphNode, NodeSettings } from '../schemas/graph';
import type { FailureClass } from '../schemas/plan';
import type { ExpandedNode } from './contract';
import { decideStep, executeBuiltin, executeStep } from './proxies';
import {
  classify,
  decideRetry,
  isInfrastructure,
  type FailureCounts,
  type RetryDecision,
} from './retry';
import type { TransitionLog } from './transition-log';
import type { Waits } from './waits';

/** Soon enough for quick steps; later each look costs the history of a long one some ten events. */
const WAIT_MS_MIN = 2_000;
const WAIT_MS_MAX = 30_000;

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
  /** Why a step in a cancelled scope was stopped. */
  readonly whyStopped: () => Stopped;
}
export interface Stopped {
  readonly end: 'cancelled' | 'skipped';
  readonly reason: string;
}
/** How a step ended; `expanded` is a foreach that knows its items now. */
export type StepEnd =
  | { readonly key: string; readonly end: 'succeeded' }
  | {
      readonly key: string;
      readonly end: 'failed' | Stopped['end'];
      readonly reason: string;
      readonly attempt: number; // the last one; 0 if there was none
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
    const { items, groups } = verdict;
    const count = items.filter(({ group }) => group === key).length;
    log.add({ stepKey: key, attempt: 0, state: 'started', reason: `${count} items` });
    return { key, end: 'expanded', items, groups };
  } catch (error) {
    if (isCancelled()) return stop(context, step, attempt);
    return add('failed', causeOf(error).message);
  }
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
async function runAttempts(
  context: StepContext,
  step: RunStep,
  firstReadyAtMs: number,
): Promise<StepEnd> {
  const { node, settings } = step;
  let counts: FailureCounts = { user: 0, infrastructure: 0 };
  let readyAtMs = firstReadyAtMs;
  for (let attempt = step.attempts + 1; ; attempt += 1) {
    try {
      const input = inputOf(context, { ...step, attempt, readyAtMs });
      const leftSeconds = secondsLeft(settings, firstReadyAtMs);
      const timeoutSeconds = Math.min(input.timeoutSeconds, leftSeconds);
      await executeStep(settings, { ...input, timeoutSeconds }, context.priority());
      return { key: node.key, end: 'succeeded' };
    } catch (error) {
      if (isCancelled()) return stop(context, step, attempt);
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
    const cause = causeOf(error);
    const reason = cause.message;
    const failureClass = cause instanceof ApplicationFailure ? 'data' : 'timeout';
    context.log.add({ stepKey: node.key, attempt, state: 'failed', reason, failureClass });
    return { key: node.key, end: 'failed', reason, attempt };
  }
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
