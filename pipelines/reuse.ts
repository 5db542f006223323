import { isAppError } from '../errors/app-error';
import type { PipelineRun } from '../schemas/pipeline-runs';
import * as stored from '../storage/postgres/step-content';
import type { StepKey, StoredStep } from '../storage/postgres/steps';
import { recordTransitions } from '../storage/postgres/transitions';
import { contentOf, explainDifference, type Content } from './content-keys';
import type { PipelineRunDeps } from './pipeline-runs';
import { renderStep } from './step-scope';

/** A step may be run, or its result is there already. */
export type ReuseVerdict =
  { readonly verdict: 'run' } | { readonly verdict: 'reuse'; readonly reason: string };

interface Decided {
  readonly run: PipelineRun;
  readonly key: StepKey;
  readonly step: StoredStep;
}

/**
 * Looks for the result of a step that is to run: in a resumed run, among those of the run before. A
 * result that is found is committed at once; why none was found is kept with the step. Idempotent.
 */
export async function decideReuse(deps: PipelineRunDeps, decided: Decided): Promise<ReuseVerdict> {
  const { run, key, step } = decided;
  if (step.status === 'succeeded') return reuse('decided before');
  if (isBuiltin(step) || run.resumedFrom === null) return RUN;
  const content = await workOut(deps, decided);
  if (content === undefined) return RUN; // the attempt will say why
  const of = { projectId: key.projectId, runId: run.resumedFrom, stepKey: key.stepKey };
  if (await stored.isRerun(deps.postgres, { ...key, step: step.spec.name })) {
    await stored.noteContent(deps.postgres, { ...key, content, note: RERUN });
    return RUN;
  }
  const from = await stored.findReusableInRun(deps.postgres, { ...of, contentKey: content.key });
  if (from !== undefined) return take(deps, { key, content, from });
  const before = await stored.findContent(deps.postgres, of);
  await stored.noteContent(deps.postgres, {
    ...key,
    content,
    note: whyNotReused(before, { ...of, parts: content.parts }),
  });
  return RUN;
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
  taken: { readonly key: StepKey; readonly content: Content; readonly from: stored.ReusableStep },
): Promise<ReuseVerdict> {
  const { key, from } = taken;
  const { stepKey } = key;
  const reason = `same content as run ${from.runId}, step ${from.stepKey}`;
  await deps.postgres.transaction(async (sql) => {
    const cached = { stepKey, attempt: 0, state: 'cached', status: 'succeeded', reason } as const;
    const transition = { ...cached, failureClass: undefined, isLost: false, atMs: Date.now() };
    await recordTransitions(sql, { ...key, transitions: [transition] });
    await stored.reuseOutputs(sql, { ...key, ...taken, note: reason });
  });
  return reuse(reason);
}

/** Says which part of a step's content keeps it from taking the result of the run before. */
export function whyNotReused(
  before: Pick<stored.StepContent, 'status' | 'parts'> | undefined,
  now: { readonly runId: string; readonly stepKey: string; readonly parts: Content['parts'] },
): string {
  const { runId, stepKey, parts } = now;
  if (before === undefined) return `run ${runId} has no step ${stepKey}`;
  if (before.status !== 'succeeded') return `it did not succeed in run ${runId}: ${before.status}`;
  if (before.parts === null) return `run ${runId} did not keep what its steps depended on`;
  return `differs from run ${runId}: ${explainDifference(before.parts, parts)}`;
}
