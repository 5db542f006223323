import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Client,
  Connection,
  isGrpcServiceError,
  WithStartWorkflowOperation,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure, type Workflow } from '@temporalio/common';
import type { Config } from '../config/config';
import { temporalConnection } from '../config/temporal';
import { AppError } from '../errors/app-error';
import { ERRORS, type ErrorCode } from '../errors/codes';
import type { PipelineRunStarter } from '../pipelines/pipeline-runs';
import {
  CHANGE_ALIAS_UPDATE,
  CONTROL_QUEUE,
  CONTROL_RUN_UPDATE,
  MODEL_ALIASES,
  modelAliasesWorkflowId,
  pipelineRunWorkflowId,
  RUN_PIPELINE,
  type ChangeAlias,
  type ChangedAlias,
  type ControlRun,
  type ModelAliasesInput,
  type RunPipelineInput,
} from '../workflows/contract';
import { createInFlight, type InFlight } from './in-flight';

/** The only Temporal client of the api and of the control worker. */
export interface Starter extends PipelineRunStarter {
  /** Changes an alias in the order of arrival at the model's entity workflow. */
  changeAlias(projectId: string, model: string, change: ChangeAlias): Promise<ChangedAlias>;
  close(): Promise<void>;
}

/** A caller waits for this: Temporal answers within milliseconds or is not there. */
const CALL_TIMEOUT_MS = 5_000;
/** An alias change waits for the control worker, which may be restarting (seconds). */
const CHANGE_ALIAS_TIMEOUT_MS = 30_000;
/** A control waits for the control worker, too. */
const CONTROL_TIMEOUT_MS = 15_000;
/** Between two tries of a call; a server that restarts is back within a second or two. */
const AGAIN_MS = 200;
/** gRPC codes that say "not now": unavailable, resource exhausted, aborted. */
const NOT_NOW: readonly number[] = [14, 8, 10];
/** A workflow takes 10 updates at once and makes the eleventh back off for seconds. */
const ALIAS_CHANGES_MAX = 8;
/** 128 bits: no two runs ever share an id. */
const RUN_ID_HEX = 32;

/** Opens a client that connects at its first call and again after every loss. */
export function openStarter(config: Config): Starter {
  const options = temporalConnection(config);
  // the SDK's own retries go on after a call has ended for its caller, and break on a closed channel
  const connection = Connection.lazy({ ...options, interceptors: [] });
  const client = new Client({ connection, namespace: config.TEMPORAL_NAMESPACE });
  const inFlight = createInFlight(ALIAS_CHANGES_MAX);
  return {
    ping: () =>
      within(client, CALL_TIMEOUT_MS, async () => {
        await connection.workflowService.getSystemInfo({});
      }),
    startPipelineRun: (input) => startPipelineRun(client, input),
    cancelPipelineRun: (runId) => cancelPipelineRun(client, runId),
    controlPipelineRun: (runId, control) => controlPipelineRun(client, runId, control),
    changeAlias: (projectId, model, change) =>
      changeAlias({ client, inFlight }, { projectId, model }, change),
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
      const handle = client.workflow.getHandle(pipelineRunWorkflowId(runId));
      // a cancel that comes too late is accepted without a word, so look first
      const { status } = await handle.describe();
      if (status.name !== 'RUNNING') return 'gone';
      await handle.cancel();
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
      const handle = client.workflow.getHandle(pipelineRunWorkflowId(runId));
      await handle.executeUpdate<boolean, [ControlRun]>(CONTROL_RUN_UPDATE, { args: [control] });
      return 'done';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'gone';
      throw error;
    }
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

/** Repeats a call that Temporal cannot take now, until its time is over; errors become ours. */
async function within<T>(client: Client, timeoutMs: number, call: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await client.connection.withDeadline(deadline, call);
    } catch (error) {
      const code = grpcCode(error);
      const isOver = Date.now() + AGAIN_MS >= deadline;
      if (code === undefined || !NOT_NOW.includes(code) || isOver)
        throw translate(error, timeoutMs);
      await sleep(AGAIN_MS);
    }
  }
}

function grpcCode(error: unknown): number | undefined {
  if (isGrpcServiceError(error)) return error.code;
  return error instanceof Error && isGrpcServiceError(error.cause) ? error.cause.code : undefined;
}

function unavailable(timeoutMs: number, cause?: unknown): AppError {
  const message = `Temporal did not answer within ${timeoutMs / 1000} s.`;
  return new AppError('TEMPORAL_UNAVAILABLE', message, { cause });
}

function translate(error: unknown, timeoutMs: number): unknown {
  if (error instanceof WorkflowUpdateFailedError && error.cause instanceof ApplicationFailure) {
    const { type, message } = error.cause;
    if (isErrorCode(type)) return new AppError(type, message, { cause: error });
  }
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) {
    const late = `Nobody took the change within ${timeoutMs / 1000} s`;
    const message = `${late}; it may still be made once Temporal and the control worker run.`;
    return new AppError('TEMPORAL_UNAVAILABLE', message, { cause: error });
  }
  return grpcCode(error) === undefined ? error : unavailable(timeoutMs, error);
}

function isErrorCode(type: string | null | undefined): type is ErrorCode {
  return typeof type === 'string' && Object.hasOwn(ERRORS, type);
}
