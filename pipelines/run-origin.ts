import { withFollowers } from '../dag/followers';
import { requireArgument } from '../errors/app-error';
import { Git } from '../schemas/git';
import type { Plan } from '../schemas/plan';
import { RunTrigger } from '../schemas/run-triggers';
import type { InsertPipelineRun } from '../storage/postgres/pipeline-runs';

/**
 * What a run comes from: the commit of its code, what started it, and the run before with the steps that
 * run in any case. INVALID_ARGUMENT for a commit or a trigger that is none: who starts a workflow directly
 * may write anything.
 */
export function originOf(
  plan: Plan,
  from: {
    readonly git?: unknown;
    readonly trigger?: unknown;
    readonly resumedFrom?: string;
    readonly rerunFrom?: string;
  },
): Pick<InsertPipelineRun, 'git' | 'trigger' | 'resumedFrom' | 'rerunSteps'> {
  const { resumedFrom, rerunFrom } = from;
  const git = Git.optional().safeParse(from.git);
  requireArgument(git.success, "'git' must hold the whole SHA of a commit, and isDirty.");
  const trigger = RunTrigger.optional().safeParse(from.trigger);
  requireArgument(trigger.success, "'trigger' must hold kind, subject, deployment and chain.");
  const rerunSteps = rerunFrom === undefined ? [] : withFollowers(plan, rerunFrom);
  return { git: git.data, trigger: trigger.data, resumedFrom, rerunSteps };
}
