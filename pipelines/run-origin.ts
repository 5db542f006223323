import { withFollowers } from '../dag/followers';
import { requireArgument } from '../errors/app-error';
import { Git } from '../schemas/git';
import type { Plan } from '../schemas/plan';
import type { InsertPipelineRun } from '../storage/postgres/pipeline-runs';

/**
 * What a run comes from: the commit of its code, and the run before with the steps that run in any
 * case. INVALID_ARGUMENT for a commit that is none: who starts a workflow directly may write anything.
 */
export function originOf(
  plan: Plan,
  from: { readonly git?: unknown; readonly resumedFrom?: string; readonly rerunFrom?: string },
): Pick<InsertPipelineRun, 'git' | 'resumedFrom' | 'rerunSteps'> {
  const { resumedFrom, rerunFrom } = from;
  const git = Git.optional().safeParse(from.git);
  requireArgument(git.success, "'git' must hold the whole SHA of a commit, and isDirty.");
  const rerunSteps = rerunFrom === undefined ? [] : withFollowers(plan, rerunFrom);
  return { git: git.data, resumedFrom, rerunSteps };
}
