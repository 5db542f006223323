import type { Client } from '@temporalio/client';
import { AppError } from '../../errors/app-error';
import { CALL_TIMEOUT_MS, grpcCode, within } from './calls';

const GRPC_NOT_FOUND = 5;

/** Which build of the control workers new runs begin on, in words; throws if there is none. */
export async function describeCurrentBuild(client: Client, deployment: string): Promise<string> {
  const buildId = await within(client, CALL_TIMEOUT_MS, () => findCurrentBuild(client, deployment));
  if (buildId !== undefined) return `new runs begin on build ${buildId} of '${deployment}'`;
  const message = `The worker deployment '${deployment}' has no current version: no run begins on it.`;
  throw new AppError('INVALID_STATE', message);
}

async function findCurrentBuild(client: Client, deployment: string): Promise<string | undefined> {
  try {
    const { workerDeploymentInfo: found } = await client.workflowService.describeWorkerDeployment({
      namespace: client.options.namespace,
      deploymentName: deployment,
    });
    return found?.routingConfig?.currentDeploymentVersion?.buildId ?? undefined;
  } catch (error) {
    if (grpcCode(error) === GRPC_NOT_FOUND) return undefined; // no worker has registered yet
    throw error;
  }
}
