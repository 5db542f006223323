import { createHash, randomBytes } from 'node:crypto';
import {
  Client,
  Connection,
  WithStartWorkflowOperation,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import type { Workflow } from '@temporalio/common';
import type { Config } from '../config/config';
import { temporalConnection } from '../config/temporal';
import type { WorkflowEnd } from '../pipelines/janitor';
import type { PipelineRunStarter } from '../pipelines/pipeline-runs';
import type { WorkerWatch } from '../pipelines/pools';
import type { Scheduler } from '../pipelines/schedules';
import {
  CHANGE_ALIAS_UPDATE,
  CONTROL_QUEUE,
  CONTROL_RUN_UPDATE,
  MODEL_ALIASES,
  modelAliasesWorkflowId,
  pipelineRunWorkflowId,
  poolQueue,
  RUN_PIPELINE,
  type ChangeAlias,
  type ChangedAlias,
  type ControlRun,
  type ModelAliasesInput,
  type RunPipelineInput,
} from '../workflows/contract';
import { createInFlight, type InFlight } from './in-flight';
import { CALL_TIMEOUT_MS, within } from './starter/calls';
import { createScheduler } from './starter/schedules';
import { describeCurrentBuild } from './starter/worker-deployments';
import { findEndedWorkflows, findWorkflow } from './starter/workflows';

/** The only Temporal client of the api and of the control worker. */
export interface Starter extends PipelineRunStarter, Scheduler, WorkerWatch {
  /** Changes an alias in the order of arrival at the model's entity workflow. */
  changeAlias(projectId: string, model: string, change: ChangeAlias): Promise<ChangedAlias>;
  /** How the workflows of these runs ended; open ones are left out. */
  findEndedWorkflows(runIds: readonly string[]): Promise<ReadonlyMap<string, WorkflowEnd>>;
  /** Which build of the control workers new runs begin on; only with a worker deployment. */
  readonly describeCurrentBuild?: () => Promise<string>;
  close(): Promise<void>;
}

/** An alias change waits for the control worker, which may be restarting (seconds). */
const CHANGE_ALIAS_TIMEOUT_MS = 30_000;
/** A control waits for the control worker, too. */
const CONTROL_TIMEOUT_MS = 15_000;
/** Who reads goes on without the answer. */
const LOOK_TIMEOUT_MS = 1_000;
/** A workflow takes 10 updates at once and makes the eleventh back off for seconds. */
const ALIAS_CHANGES_MAX = 8;
/** 128 bits: no two runs ever share an id. */
const RUN_ID_HEX = 32;

/** Opens a client that connects at its first call and again after every loss. */
export function openStarter(config: Config): Starter {
  const options = temporalConnection(config);
  const { ANNEAL_WORKER_DEPLOYMENT: deployment } = config;
  // the SDK's own retries go on after a call has ended for its caller, and break on a closed channel
  const connection = Connection.lazy({ ...options, interceptors: [] });
  const client = new Client({ connection, namespace: config.TEMPORAL_NAMESPACE });
  const inFlight = createInFlight(ALIAS_CHANGES_MAX);
  return {
    ...createScheduler(client),
    ping: () =>
      within(client, CALL_TIMEOUT_MS, async () => {
        await connection.workflowService.getSystemInfo({});
      }),
    startPipelineRun: (input) => startPipelineRun(client, input),
    cancelPipelineRun: (runId) => cancelPipelineRun(client, runId),
    controlPipelineRun: (runId, control) => controlPipelineRun(client, runId, control),
    lastPoll: (pool) => lastPoll(client, pool),
    changeAlias: (projectId, model, change) =>
      changeAlias({ client, inFlight }, { projectId, model }, change),
    findEndedWorkflows: (runIds) => findEndedWorkflows(client, runIds),
    ...(deployment !== undefined && {
      describeCurrentBuild: () => describeCurrentBuild(client, deployment),
    }),
    close: () => connection.close(),
  };
}

/** With a run key the id follows from it, so that a second start meets the first one's workflow. */
function runIdFor(projectId: string, runKey: string | undefined): string {
  if (runKey === undefined) return randomBytes(RUN_ID_HEX / 2).toString('hex');
  const hash = createHash('sha256').update(JSON.stringify([projectId, runKey]));
  return hash.digest('hex').slice(0, RUN_ID_HEX);
}

async function startPipelineRun(
  client: Client,
  { pipeline, ...input }: Parameters<Starter['startPipelineRun']>[0],
): Promise<{ readonly runId: string }> {
  const runId = runIdFor(input.projectId, input.runKey);
  const args: [RunPipelineInput] = [input];
  await within(client, CALL_TIMEOUT_MS, async () => {
    try {
      await client.workflow.start(RUN_PIPELINE, {
        workflowId: pipelineRunWorkflowId(runId),
        taskQueue: CONTROL_QUEUE,
        args,
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        staticSummary: pipeline,
      });
    } catch (error) {
      // the run of this key, or our own start whose answer was lost
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  });
  return { runId };
}

async function cancelPipelineRun(client: Client, runId: string): Promise<'asked' | 'gone'> {
  return within(client, CALL_TIMEOUT_MS, async () => {
    try {
      // a cancel that comes too late is accepted without a word, so look first
      const found = await findWorkflow(client, runId);
      if (found?.status !== 'RUNNING') return 'gone';
      await found.handle.cancel();
      return 'asked';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'gone';
      throw error;
    }
  });
}

async function controlPipelineRun(
  client: Client,
  runId: string,
  control: ControlRun,
): Promise<'done' | 'gone'> {
  return within(client, CONTROL_TIMEOUT_MS, async () => {
    try {
      const found = await findWorkflow(client, runId);
      if (found === undefined) return 'gone';
      await found.handle.executeUpdate<boolean, [ControlRun]>(CONTROL_RUN_UPDATE, {
        args: [control],
      });
      return 'done';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'gone';
      throw error;
    }
  });
}

/** Temporal remembers for five minutes who asked; a worker with nothing to do asks every minute. */
async function lastPoll(client: Client, pool: string | undefined): Promise<number | undefined> {
  const request: object = {
    namespace: client.options.namespace,
    taskQueue: { name: pool === undefined ? CONTROL_QUEUE : poolQueue(pool) },
    taskQueueType: pool === undefined ? 1 : 2, // temporal.api.enums.v1: of workflows, of activities
  };
  return within(client, LOOK_TIMEOUT_MS, async () => {
    const { pollers } = await client.workflowService.describeTaskQueue(request);
    const times = pollers.map(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0));
    return times.length === 0 ? undefined : Math.max(...times) * 1000;
  });
}

async function changeAlias(
  deps: { readonly client: Client; readonly inFlight: InFlight },
  input: ModelAliasesInput,
  change: ChangeAlias,
): Promise<ChangedAlias> {
  const workflowId = modelAliasesWorkflowId(input.projectId, input.model);
  return deps.inFlight.run(workflowId, () =>
    within(deps.client, CHANGE_ALIAS_TIMEOUT_MS, () =>
      deps.client.workflow.executeUpdateWithStart<Workflow, ChangedAlias, [ChangeAlias]>(
        CHANGE_ALIAS_UPDATE,
        {
          args: [change],
          startWorkflowOperation: new WithStartWorkflowOperation<Workflow>(MODEL_ALIASES, {
            workflowId,
            taskQueue: CONTROL_QUEUE,
            args: [input],
            workflowIdConflictPolicy: 'USE_EXISTING',
            staticSummary: `aliases of ${input.model}`,
          }),
        },
      ),
    ),
  );
}
