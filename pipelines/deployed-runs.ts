import { given } from '../dag/given';
import { found } from '../errors/app-error';
import type { Deployment } from '../schemas/deployments';
import type { PipelineRun, StartPipelineRun } from '../schemas/pipeline-runs';
import type { Params } from '../schemas/plan';
import type { RunTrigger } from '../schemas/run-triggers';
import { findDeployment, type DeploymentKey } from '../storage/postgres/deployments';
import { startPreparedOnce, type PipelineRunStart } from './pipeline-runs';
import { getPlan, preparePlan } from './plans';

/** What starts a run of a deployed pipeline, and with what. */
export interface StartDeployed extends Pick<StartPipelineRun, 'runKey' | 'priority'> {
  readonly params: Params; // over those of the deployment
  readonly trigger: Omit<RunTrigger, 'deployment'>;
}

/** The version that holds now, or NOT_FOUND. */
export async function currentDeployment(
  deps: Pick<PipelineRunStart, 'postgres'>,
  key: DeploymentKey,
): Promise<Deployment> {
  return found(await findDeployment(deps.postgres, key), 'deployed pipeline', key.name);
}

/** Starts a run of the version that holds now; once, if it has a run key. */
export async function startDeployed(
  deps: PipelineRunStart,
  key: DeploymentKey,
  start: StartDeployed,
): Promise<PipelineRun> {
  const { projectId } = key;
  const deployment = await currentDeployment(deps, key);
  const { name, version, planId, codeDigest, git } = deployment;
  const plan = await getPlan(deps, { projectId, id: planId });
  return startPreparedOnce(deps, {
    projectId,
    prepared: preparePlan({ plan, params: { ...deployment.params, ...start.params } }),
    trigger: { ...start.trigger, deployment: { name, version } },
    ...given({
      ...{ runKey: start.runKey, priority: start.priority },
      ...{ codeDigest: codeDigest ?? undefined, git: git ?? undefined },
    }),
  });
}
