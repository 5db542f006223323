import {
  WorkflowNotFoundError,
  type Client,
  type WorkflowExecutionStatusName,
  type WorkflowHandle,
} from '@temporalio/client';
import type { WorkflowEnd } from '../../pipelines/janitor';
import { pipelineRunWorkflowId } from '../../workflows/contract';
import { CALL_TIMEOUT_MS, within } from './calls';

/** Questions at the same time: Temporal answers each within milliseconds. */
const LANES = 8;

interface FoundWorkflow {
  readonly handle: WorkflowHandle;
  readonly workflowId: string;
  readonly status: WorkflowExecutionStatusName;
}

/** The newest workflow of a run. Whoever starts one himself may give it the run's id as it is. */
export async function findWorkflow(
  client: Client,
  runId: string,
): Promise<FoundWorkflow | undefined> {
  for (const workflowId of [pipelineRunWorkflowId(runId), runId]) {
    try {
      const handle = client.workflow.getHandle(workflowId);
      return { handle, workflowId, status: (await handle.describe()).status.name };
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }
  return undefined;
}

/** How the workflows of runs ended, by run id; those that are open are left out. */
export async function findEndedWorkflows(
  client: Client,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, WorkflowEnd>> {
  const ends = new Map<string, WorkflowEnd>();
  const waiting = [...runIds];
  const lane = async (): Promise<void> => {
    for (;;) {
      const runId = waiting.shift();
      if (runId === undefined) return;
      const end = await within(client, CALL_TIMEOUT_MS, () => endOf(client, runId));
      if (end !== undefined) ends.set(runId, end);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return ends;
}

async function endOf(client: Client, runId: string): Promise<WorkflowEnd | undefined> {
  const found = await findWorkflow(client, runId);
  if (found === undefined) {
    return { isOnPurpose: false, reason: 'its workflow is gone: Temporal does not know it' };
  }
  switch (found.status) {
    case 'TERMINATED':
      return { isOnPurpose: true, reason: await whyTerminated(client, found.workflowId) };
    case 'CANCELLED':
      return { isOnPurpose: true, reason: 'its workflow was cancelled' };
    case 'TIMED_OUT':
      return { isOnPurpose: false, reason: 'its workflow timed out' };
    case 'FAILED':
      return { isOnPurpose: false, reason: 'its workflow failed: see its history in Temporal' };
    case 'COMPLETED':
      return { isOnPurpose: false, reason: 'its workflow completed, but wrote no end here' };
    case 'RUNNING':
    case 'PAUSED':
    case 'CONTINUED_AS_NEW':
    case 'UNSPECIFIED':
    case 'UNKNOWN': // of a newer server: not ours to judge
      return undefined;
  }
}

/** What the last event of the history says: who terminated the workflow, and why. */
async function whyTerminated(client: Client, workflowId: string): Promise<string> {
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId },
    maximumPageSize: 1,
  });
  const said = history?.events?.[0]?.workflowExecutionTerminatedEventAttributes;
  const reason = said?.reason ?? '';
  const by = said?.identity ?? '';
  const words = reason === '' ? 'no reason was given' : reason;
  return `its workflow was terminated: ${words}${by === '' ? '' : ` (by ${by})`}`;
}
