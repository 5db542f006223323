import { randomBytes } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { createActivities } from '../../activities';
import { failureOf } from '../../activities/failures';
import { openStarter, type Starter } from '../../api/starter';
import { parseConfig } from '../../config/config';
import { findTool } from '../../dev/tools';
import { found } from '../../errors/app-error';
import { contentOf } from '../../pipelines/content-keys';
import { announceDatasets } from '../../pipelines/datasets';
import { listSteps } from '../../pipelines/step-reasons';
import type { DecisionDeps } from '../../pipelines/decisions';
import { renderStep } from '../../pipelines/step-scope';
import type { BuiltinDeps } from '../../pipelines/steps';
import type { ExecuteStepInput, ExecuteStepResult } from '../../schemas/attempts';
import type { FailureClass, Outputs, Params, Plan } from '../../schemas/plan';
import { succeeded } from '../../pipelines/commits';
import { endAttempt } from '../../storage/postgres/attempts';
import { commitOutputs } from '../../storage/postgres/step-outputs';
import { assertNotHeld, findStep, markStepStarted } from '../../storage/postgres/steps';
import { recordTransitions } from '../../storage/postgres/transitions';
import {
  CONTROL_QUEUE,
  pipelineRunWorkflowId,
  poolQueue,
  RUN_PIPELINE,
  type RunPipelineInput,
  type RunPipelineResult,
} from '../../workflows/contract';
import { heartbeats } from '../../workers/heartbeats';
import { createSender } from '../../workers/notifications';
import { createTestDatabase, type TestDatabase } from './postgres';
import { openWrittenPipelines, type WrittenPipelines } from './written-pipelines';

/** What a step does in a test: outputs, or a throw. */
export type StepBody = (input: ExecuteStepInput, signal: AbortSignal) => Promise<Outputs>;

export interface StartedRun {
  readonly runId: string;
  result(): Promise<RunPipelineResult>;
  cancel(): Promise<unknown>;
}

/** A real Temporal server, a real database, the control worker, and a step worker told what to do. */
export interface WorkflowLab {
  readonly env: TestWorkflowEnvironment;
  readonly database: TestDatabase;
  readonly starter: Starter;
  /** What rules and routes need. */
  readonly parts: Pick<TestDatabase, 'postgres'> & Pick<WorkflowLab, 'starter'> & DecisionDeps;
  readonly written: WrittenPipelines;
  readonly registered: Parameters<BuiltinDeps['registerModel']>[0][];
  /** Steps by key, or by name for all items of a foreach; a step that is not named succeeds. */
  bodies: Record<string, StepBody>;
  /** True: the step worker sends no heartbeats, as if its node were gone. */
  isSilent: boolean;
  /** The id of the run is a new one if none is given. */
  start(input: RunPipelineInput, id?: string): Promise<StartedRun>;
  run(plan: Plan, params?: Params): Promise<RunPipelineResult>;
  /** How each step of a run stands, by its key. */
  statuses(runId: string): Promise<Record<string, string>>;
  restartControl(): Promise<void>;
  close(): Promise<void>;
}

Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { forward: {}, filter: 'error' } },
});

/** A failure as the step worker throws it. */
export function stepFailure(failureClass: FailureClass, message: string): ApplicationFailure {
  return ApplicationFailure.create({ message, type: failureClass, nonRetryable: true });
}

/** Opens everything, with room for `slots` steps at once; `close` ends it. */
export async function openWorkflowLab({ slots = 100 } = {}): Promise<WorkflowLab> {
  const path = findTool('temporal');
  const [env, database, bundle] = await Promise.all([
    TestWorkflowEnvironment.createLocal({
      server: { executable: { type: 'existing-path', path } },
    }),
    createTestDatabase(),
    bundleWorkflowCode({
      workflowsPath: require.resolve('../../workflows'),
      logger: new DefaultLogger('ERROR'),
    }),
  ]);
  const config = parseConfig({ TEMPORAL_ADDRESS: env.address });
  const starter = openStarter(config);
  const registered: WorkflowLab['registered'] = [];
  const registerModel: BuiltinDeps['registerModel'] = (input) => {
    registered.push(input);
    return Promise.resolve({ version: registered.length });
  };
  // receivers of messages are on this machine
  const sendNotification = createSender({ url: undefined, hosts: ['127.0.0.1'], delaysMs: [1, 1] });
  const written = openWrittenPipelines(database.postgres);
  const openControl = async (): Promise<() => Promise<void>> => {
    const worker = await Worker.create({
      connection: env.nativeConnection,
      taskQueue: CONTROL_QUEUE,
      workflowBundle: bundle,
      interceptors: { activity: [heartbeats] },
      activities: createActivities({
        postgres: database.postgres,
        readPipeline: written.readPipeline,
        registerModel,
        sendNotification,
      }),
    });
    return running(worker);
  };
  const lab: WorkflowLab = {
    env,
    database,
    starter,
    parts: { postgres: database.postgres, starter, readPipeline: written.readPipeline },
    written,
    registered,
    bodies: {},
    isSilent: false,
    async start(input, runId = randomBytes(8).toString('hex')) {
      const handle = await env.client.workflow.start(RUN_PIPELINE, {
        workflowId: pipelineRunWorkflowId(runId),
        taskQueue: CONTROL_QUEUE,
        args: [input],
      });
      const result = (): Promise<RunPipelineResult> => handle.result();
      return { runId, result, cancel: () => handle.cancel() };
    },
    async statuses(runId) {
      const steps = await listSteps(database, { projectId: 'default', runId });
      return Object.fromEntries(steps.map(({ key, status }) => [key, status]));
    },
    async run(plan, params = {}) {
      return (await lab.start({ plan, params })).result();
    },
    async restartControl() {
      await stopControl();
      stopControl = await openControl();
    },
    async close() {
      await Promise.all([stopControl(), stopSteps()]);
      await lab.starter.close();
      await env.teardown();
      await database.drop();
      written.close();
    },
  };
  const stepWorker = await Worker.create({
    connection: env.nativeConnection,
    taskQueue: poolQueue('cpu'),
    activities: { executeStep: (input: ExecuteStepInput) => executeStep(lab, input) },
    maxConcurrentActivityTaskExecutions: slots,
    maxHeartbeatThrottleInterval: '100ms',
    defaultHeartbeatThrottleInterval: '100ms',
    shutdownForceTime: '1s',
  });
  const stopSteps = running(stepWorker);
  let stopControl = await openControl();
  return lab;
}

/** Runs a worker; the answer ends it. */
function running(worker: Worker): () => Promise<void> {
  const run = worker.run();
  return async () => {
    worker.shutdown();
    await run.catch(() => undefined); // a forced end of a step that a test left hanging
  };
}

const BEGIN = `
INSERT INTO attempts (project_id, run_id, step_key, attempt, node, status)
VALUES ($1, $2, $3, $4, 'lab', 'running')`;
const BEAT_MS = 100;

/** Keeps the contract of the real one: an attempt's row, heartbeats, a failure class as type. */
async function executeStep(lab: WorkflowLab, input: ExecuteStepInput): Promise<ExecuteStepResult> {
  const { postgres } = lab.database;
  const { projectId, runId, stepKey, attempt, readyAtMs } = input;
  const key = { projectId, runId, stepKey, attempt };
  await assertNotHeld(postgres, key).catch((error: unknown) => {
    throw failureOf(error);
  });
  await postgres.query(BEGIN, [projectId, runId, stepKey, attempt]);
  const ready = { reason: 'waiting for a worker of pool cpu', atMs: readyAtMs };
  const step = found(await findStep(postgres, key), 'step', stepKey);
  const content = contentOf(step, await renderStep(lab.database, key, step));
  await markStepStarted(postgres, { ...key, reason: 'on node lab', ready, content });
  const context = Context.current();
  const beat = setInterval(() => {
    if (!lab.isSilent) context.heartbeat();
  }, BEAT_MS);
  const body = lab.bodies[stepKey] ?? lab.bodies[stepKey.replace(/\[\d+\]$/, '')];
  try {
    const outputs = (await body?.(input, context.cancellationSignal)) ?? {};
    await postgres.transaction(async (sql) => {
      await recordTransitions(sql, { projectId, runId, transitions: [succeeded(key)] });
      await commitOutputs(sql, { ...key, outputs });
      await announceDatasets(sql, key, step);
      await endAttempt(sql, { ...key, status: 'succeeded', exitCode: 0 });
    });
    return { outputs };
  } finally {
    clearInterval(beat);
  }
}

/** A moment, between two looks at what a test waits for. */
export function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

/** Resolves when a step is told to stop. */
export async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
}
