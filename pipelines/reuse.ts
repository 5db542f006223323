import { outermost } from '../dag/templates';
import { isAppError } from '../errors/app-error';
import { claimWork, releaseWork, type ClaimHolder } from '../storage/postgres/step-claims';
import * as stored from '../storage/postgres/step-content';
import type { StepKey, StoredStep } from '../storage/postgres/steps';
import { recordTransitions, type RecordedTransition } from '../storage/postgres/transitions';
import type { PipelineRun } from '../schemas/pipeline-runs';
import { contentOf, type Content } from './content-keys';
import { announceDatasets } from './datasets';
import type { PipelineRunDeps } from './pipeline-runs';
import { explainMiss, findResult, type WantedResult } from './results';
import { renderStep } from './step-scope';

/** A step may be run, its result is there already, or another step is at the same work. */
export type ReuseVerdict =
  | { readonly verdict: 'run' }
  | { readonly verdict: 'reuse'; readonly reason: string }
  | { readonly verdict: 'wait' };

interface Decided {
  readonly run: PipelineRun;
  readonly key: StepKey;
  readonly step: StoredStep;
}
type Wanted = Decided & WantedResult;

/** How the reason of a step begins that waits for the result of another one. */
export const SAME_WORK = 'the same work is under way in run';
/** Beyond all attempts of the step: waiting for workers and moving data, a day of it at most. */
const CLAIM_MARGIN_SECONDS = 24 * 3_600;

/**
 * Looks for the result of a step that is to run: in a resumed run among those of the run before, for a
 * step with a cache among those of the project. A result that is found is committed at once; why none
 * was found is kept with the step. Of several steps with a cache and the same content one does the
 * work, and the others wait. Idempotent.
 */
export async function decideReuse(deps: PipelineRunDeps, decided: Decided): Promise<ReuseVerdict> {
  const { run, key, step } = decided;
  if (step.status === 'succeeded') return reuse('decided before');
  const isCached = step.spec.cache !== undefined;
  // a handler runs at the end of every run
  if (isBuiltin(step) || step.run !== undefined) return RUN;
  if (run.resumedFrom === null && !isCached) return RUN;
  const content = await workOut(deps, decided);
  if (content === undefined) return RUN; // the attempt will say why
  if (await stored.isRerun(deps.postgres, { ...key, step: outermost(step.spec.name) })) {
    await stored.noteContent(deps.postgres, { ...key, content, note: RERUN });
    return RUN;
  }
  const wanted = { ...decided, content };
  const from = await findResult(deps.postgres, wanted);
  if (from !== undefined) return take(deps, { step, key, content, from });
  if (isCached) return claim(deps, wanted);
  await stored.noteContent(deps.postgres, {
    ...key,
    content,
    note: await explainMiss(deps.postgres, wanted),
  });
  return RUN;
}

/** Claims the work, unless another step has it, or has done it by now. */
async function claim(deps: PipelineRunDeps, wanted: Wanted): Promise<ReuseVerdict> {
  const { key, step, content } = wanted;
  const { timeoutSeconds, retry } = step.spec;
  const seconds = timeoutSeconds * (retry.max + 1) + CLAIM_MARGIN_SECONDS;
  const claimed = await deps.postgres.transaction(async (sql) => {
    const made = await claimWork(sql, { ...key, contentKey: content.key, seconds });
    if (!made.isOurs) return made;
    // whoever had the work before may have ended it since the first look
    const from = await findResult(sql, wanted);
    if (from === undefined) return made;
    await releaseWork(sql, key);
    return { from };
  });
  if ('from' in claimed) return take(deps, { step, key, content, from: claimed.from });
  if (!claimed.isOurs) return wait(deps, wanted, claimed.holder);
  const why = await explainMiss(deps.postgres, wanted);
  const note = claimed.before === undefined ? why : `${why}; ${unfinished(claimed.before)}`;
  await stored.noteContent(deps.postgres, { ...key, content, note });
  return RUN;
}

function unfinished({ runId, stepKey, status }: ClaimHolder): string {
  return `run ${runId}, step ${stepKey} was at the same work and did not finish it (${status ?? 'gone'})`;
}

/** Keeps what the step waits for; its workflow asks again. */
async function wait(
  deps: PipelineRunDeps,
  { key, content }: Wanted,
  holder: ClaimHolder,
): Promise<ReuseVerdict> {
  const note = `${SAME_WORK} ${holder.runId}, step ${holder.stepKey}: waiting for its result`;
  await deps.postgres.transaction(async (sql) => {
    await record(sql, key, { state: 'ready', status: 'waiting', reason: note });
    await stored.noteContent(sql, { ...key, content, note });
  });
  return { verdict: 'wait' };
}

const RUN: ReuseVerdict = { verdict: 'run' };
/** Why a step runs that somebody wants to run. */
export const RERUN = 'it was asked to run again';

function reuse(reason: string): ReuseVerdict {
  return { verdict: 'reuse', reason };
}

/** True for steps that the control worker carries out itself: too quick to look for their results. */
export function isBuiltin({ spec }: Pick<StoredStep, 'spec'>): boolean {
  return spec.uses?.startsWith('builtin/') ?? false;
}

async function workOut(
  deps: PipelineRunDeps,
  { key, step }: Decided,
): Promise<Content | undefined> {
  try {
    return contentOf(step, await renderStep(deps, key, step));
  } catch (error) {
    if (isAppError(error) && error.code === 'INVALID_ARGUMENT') return undefined;
    throw error;
  }
}

/** Commits the result of another step to this one. */
async function take(
  deps: PipelineRunDeps,
  taken: Pick<Wanted, 'step' | 'key' | 'content'> & { readonly from: stored.ReusableStep },
): Promise<ReuseVerdict> {
  const { step, key, from } = taken;
  const reason = `same content as run ${from.runId}, step ${from.stepKey}`;
  await deps.postgres.transaction(async (sql) => {
    await record(sql, key, { state: 'cached', status: 'succeeded', reason });
    await stored.reuseOutputs(sql, { ...key, ...taken, note: reason });
    await announceDatasets(sql, key, step);
  });
  return reuse(reason);
}

/** Before the first attempt, so with the number 0. */
async function record(
  sql: Parameters<typeof recordTransitions>[0],
  key: StepKey,
  change: Pick<RecordedTransition, 'state' | 'status' | 'reason'>,
): Promise<void> {
  const { stepKey } = key;
  const none = { attempt: 0, failureClass: undefined, isLost: false };
  const transition = { stepKey, ...none, ...change, atMs: Date.now() };
  await recordTransitions(sql, { ...key, transitions: [transition] });
}
