import { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { buildSync } from 'esbuild';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createActivities } from '../../activities';
import { findTool } from '../../dev/tools';
import type { Plan } from '../../schemas/plan';
import {
  CONTROL_QUEUE,
  pipelineRunWorkflowId,
  RUN_PIPELINE,
  type RunPipelineInput,
  type RunPipelineResult,
} from '../../workflows/contract';
import { heartbeats } from '../../workers/heartbeats';
import { createSender } from '../../workers/notifications';
import { openStepLab, type StepLab } from './step-lab';

export interface StartedOnWorkers {
  readonly runId: string;
  result(): Promise<RunPipelineResult>;
  cancel(): Promise<unknown>;
  terminate(): Promise<unknown>;
}
/** A real Temporal server, the whole api, a control worker; step workers in processes of their own. */
export interface WorkerLab {
  readonly env: TestWorkflowEnvironment;
  readonly steps: StepLab;
  /** A step worker; resolves when it is ready. */
  startWorker(settings?: Readonly<Record<string, string>>): Promise<ChildProcess>;
  start(plan: Plan, given?: Omit<RunPipelineInput, 'plan'>): Promise<StartedOnWorkers>;
  close(): Promise<void>;
}

Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { forward: {}, filter: 'error' } },
});

/** Opens everything but step workers; `close` ends those, too. */
export async function openWorkerLab(): Promise<WorkerLab> {
  const executable = { type: 'existing-path', path: findTool('temporal') } as const;
  const [env, steps] = await Promise.all([
    TestWorkflowEnvironment.createLocal({ server: { executable } }),
    openStepLab(),
  ]);
  const program = buildWorker(steps.folder);
  const stopControl = await startControl(env, steps);
  const workers: ChildProcess[] = [];
  return {
    env,
    steps,
    async startWorker(settings = {}) {
      const worker = spawnWorker(program, { env, steps, settings });
      workers.push(worker);
      const lines = createInterface({ input: worker.stdout as NodeJS.ReadableStream });
      const [line] = (await once(lines, 'line')) as [string];
      expect(JSON.parse(line)).toEqual({ ready: true });
      return worker;
    },
    async start(plan, given = {}) {
      const runId = crypto.randomUUID();
      const handle = await env.client.workflow.start(RUN_PIPELINE, {
        workflowId: pipelineRunWorkflowId(runId),
        taskQueue: CONTROL_QUEUE,
        args: [{ plan, ...given }],
      });
      return {
        runId,
        result: () => handle.result() as Promise<RunPipelineResult>,
        cancel: () => handle.cancel(),
        terminate: () => handle.terminate(),
      };
    },
    async close() {
      for (const worker of workers) worker.kill('SIGKILL');
      await stopControl();
      await env.teardown();
      await steps.close();
    },
  };
}

async function startControl(
  env: TestWorkflowEnvironment,
  steps: StepLab,
): Promise<() => Promise<void>> {
  const logger = new DefaultLogger('ERROR');
  const workflowsPath = require.resolve('../../workflows');
  const registerModel = (): Promise<{ version: number }> => Promise.resolve({ version: 1 });
  const control = await Worker.create({
    connection: env.nativeConnection,
    taskQueue: CONTROL_QUEUE,
    workflowBundle: await bundleWorkflowCode({ workflowsPath, logger }),
    interceptors: { activity: [heartbeats] },
    activities: createActivities({
      ...steps.parts,
      registerModel,
      sendNotification: createSender({ url: undefined, hosts: [] }),
    }),
  });
  const controlling = control.run();
  return async () => {
    control.shutdown();
    await controlling;
  };
}

function buildWorker(folder: string): string {
  const outfile = join(folder, 'workers', 'step.js');
  buildSync({
    entryPoints: [join(__dirname, '../../workers/step.ts')],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'cjs',
    outfile,
  });
  return outfile;
}

function spawnWorker(
  program: string,
  given: Pick<WorkerLab, 'env' | 'steps'> & { readonly settings: Readonly<Record<string, string>> },
): ChildProcess {
  const { env, steps, settings } = given;
  return spawn(process.execPath, [program], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: {
      PATH: process.env['PATH'],
      ANNEAL_API: steps.node.api,
      ANNEAL_NODE_TOKEN: steps.node.token,
      ANNEAL_NODE: 'n1',
      ANNEAL_DATA_DIR: join(steps.folder, 'worker'),
      TEMPORAL_ADDRESS: env.address,
      ...settings,
    },
  });
}
