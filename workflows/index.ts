import type { WorkflowDefinitionOptions } from '@temporalio/common';
import { setWorkflowOptions, workflowInfo } from '@temporalio/workflow';
import { runPipeline } from './run-pipeline';
import { runSegment } from './run-segment';

export { modelAliases } from './model-aliases';
export { runPipeline, runSegment };

/**
 * With a worker deployment a run ends on the code that it began with. Whatever began without one, and what
 * has no end, goes on with the newest code (workers/control.ts), and its history must replay there. Without
 * a deployment the server refuses a workflow task that speaks of it.
 */
const pinned = (): WorkflowDefinitionOptions => {
  const { deploymentName = '' } = workflowInfo().currentDeploymentVersion ?? {};
  return deploymentName === '' ? {} : { versioningBehavior: 'PINNED' };
};
setWorkflowOptions(pinned, runPipeline);
setWorkflowOptions(pinned, runSegment);
