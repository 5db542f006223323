import { withFollowers } from '../dag/followers';
import { suggest } from '../dag/suggest';
import { AppError } from '../errors/app-error';
import type { PipelineRun, ResumedStep, ResumePipelineRun } from '../schemas/pipeline-runs';
import { listContents } from '../storage/postgres/step-content';
import type { DecisionDeps } from './decisions';
import { forecastSteps } from './forecasts';
import { getPipelineRun, startPrepared, type PipelineRunStart } from './pipeline-runs';
import { getPlan, preparePlan, type PreparedPlan } from './plans';

interface Resume {
  readonly projectId: string;
  readonly id: string; // the run before
  readonly resume: ResumePipelineRun;
}

/**
 * Starts a new run of the same plan that takes the results of a run that has ended, as far as their
 * content is the same; or says what would become of each step, and starts nothing.
 */
export async function resumePipelineRun(
  deps: PipelineRunStart & DecisionDeps,
  input: Resume,
): Promise<PipelineRun | { readonly steps: readonly ResumedStep[] }> {
  const { projectId, id, resume } = input;
  const { from: rerunFrom, params, dryRun } = resume;
  const before = await getPipelineRun(deps, { projectId, id });
  if (before.endedAt === null) {
    const message = `The run '${id}' is still under way (${before.status}): cancel it, or wait for its end, and resume it then.`;
    throw new AppError('INVALID_STATE', message);
  }
  const plan = await getPlan(deps, { projectId, id: before.planId });
  const merged = { ...before.params, ...params };
  const prepared = preparePlan({ plan, params: merged });
  requireStep(prepared, rerunFrom);
  // other code is of another commit, or of none that anyone has named
  const git = resume.codeDigest === undefined ? (before.git ?? undefined) : resume.git;
  const codeDigest = resume.codeDigest ?? before.codeDigest ?? undefined;
  if (dryRun) {
    return {
      steps: await forecastSteps(deps, {
        ...{ projectId, prepared, codeDigest: codeDigest ?? null },
        resumed: {
          runId: id,
          before: await listContents(deps.postgres, { projectId, runId: id }),
          rerun: rerunFrom === undefined ? [] : withFollowers(prepared.plan, rerunFrom),
        },
      }),
    };
  }
  const { priority } = before;
  return startPrepared(deps, {
    projectId,
    prepared,
    priority,
    resumedFrom: id,
    ...(rerunFrom === undefined ? {} : { rerunFrom }),
    ...(codeDigest === undefined ? {} : { codeDigest }),
    ...(git === undefined ? {} : { git }),
  });
}

function requireStep({ plan }: PreparedPlan, name: string | undefined): void {
  const names = plan.steps.map((step) => step.name);
  if (name === undefined || names.includes(name)) return;
  const message = `The pipeline '${plan.name}' has no step '${name}' to run again from.${suggest(name, names)}`;
  throw new AppError('INVALID_ARGUMENT', message);
}
