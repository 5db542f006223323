import { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildSync } from 'esbuild';
import { createActivities } from '../../activities';
import { findTool } from '../../dev/tools';
import {
  CONTROL_QUEUE,
  pipelineRunWorkflowId,
  RUN_PIPELINE,
  type RunPipelineResult,
} from '../../workflows/contract';
import { plan, step } from '../support/plans';
import { openStepLab, until, type StepLab } from '../support/step-lab';

Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { forward: {}, filter: 'error' } },
});

let env: TestWorkflowEnvironment;
let lab: StepLab;
let control: Worker;
let controlling: Promise<void>;
let program: string;
const workers: ChildProcess[] = [];

beforeAll(async () => {
  const logger = new DefaultLogger('ERROR');
  const executable = { type: 'existing-path', path: findTool('temporal') } as const;
  const [temporal, stepLab, workflowBundle] = await Promise.all([
    TestWorkflowEnvironment.createLocal({ server: { executable } }),
    openStepLab(),
    bundleWorkflowCode({ workflowsPath: require.resolve('../../workflows'), logger }),
  ]);
  env = temporal;
  lab = stepLab;
  program = join(lab.folder, 'workers', 'step.js');
  buildSync({
    entryPoints: [join(__dirname, '../../workers/step.ts')],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'cjs',
    outfile: program,
  });
  const registerModel = (): Promise<{ version: number }> => Promise.resolve({ version: 1 });
  control = await Worker.create({
    connection: env.nativeConnection,
    taskQueue: CONTROL_QUEUE,
    workflowBundle,
    activities: createActivities({ postgres: lab.db.postgres, registerModel }),
  });
  controlling = control.run();
});
afterAll(async () => {
  for (const worker of workers) worker.kill('SIGKILL');
  control.shutdown();
  await controlling;
  await env.teardown();
  await lab.close();
});

/** A real step worker in a process of its own; resolves when it is ready. */
async function startWorker(): Promise<ChildProcess> {
  const worker = spawn(process.execPath, [program], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: {
      PATH: process.env['PATH'],
      ANNEAL_API: lab.node.api,
      ANNEAL_NODE_TOKEN: lab.node.token,
      ANNEAL_NODE: 'n1',
      ANNEAL_DATA_DIR: join(lab.folder, 'worker'),
      TEMPORAL_ADDRESS: env.address,
    },
  });
  workers.push(worker);
  const lines = createInterface({ input: worker.stdout });
  const [line] = (await once(lines, 'line')) as [string];
  expect(JSON.parse(line)).toEqual({ ready: true });
  return worker;
}

interface Started {
  readonly runId: string;
  readonly result: () => Promise<RunPipelineResult>;
  readonly cancel: () => Promise<unknown>;
}
async function start(script: string): Promise<Started> {
  const runId = crypto.randomUUID();
  const given = plan([
    step('train', { argv: ['sh', '-c', script], outputs: { from: { value: true } } }),
  ]);
  const handle = await env.client.workflow.start(RUN_PIPELINE, {
    workflowId: pipelineRunWorkflowId(runId),
    taskQueue: CONTROL_QUEUE,
    args: [{ plan: given }],
  });
  return {
    runId,
    result: () => handle.result() as Promise<RunPipelineResult>,
    cancel: () => handle.cancel(),
  };
}

/** Saves a checkpoint and hangs in attempt 1; tells in later ones what it went on from. */
function hanging(pidFile: string): string {
  return `
    if [ -n "$ANNEAL_RESUME_FROM" ]; then
      echo "{\\"from\\": $(cat "$ANNEAL_RESUME_FROM/n")}" > "$ANNEAL_OUTPUT_DIR/outputs.json"; exit 0
    fi
    d="$ANNEAL_CHECKPOINT_DIR"; mkdir "$d/tmp"; echo 41 > "$d/tmp/n"; touch "$d/tmp/.complete"
    mv "$d/tmp" "$d/step-41"
    sleep 300 & echo $! > ${pidFile}; wait`;
}
const pidIn = (file: string): number => (existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0);
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
async function untilSaved(runId: string): Promise<void> {
  const path = `/api/v1/pipeline-runs/${runId}/checkpoints`;
  await until(async () => {
    const answer = await lab.user.get<{ checkpoints: unknown[] }>(path).catch(() => undefined);
    return (answer?.checkpoints.length ?? 0) > 0;
  });
}

describe('a step worker', () => {
  it('that is killed takes its steps with it; they go on elsewhere from their checkpoint', async () => {
    const pidFile = join(lab.folder, 'killed');
    const first = await startWorker();
    const { runId, result } = await start(hanging(pidFile));
    await untilSaved(runId);
    await until(() => isAlive(pidIn(pidFile)));
    first.kill('SIGKILL');
    await until(() => !isAlive(pidIn(pidFile)));
    const second = await startWorker();
    expect(await result()).toMatchObject({
      status: 'succeeded',
      outputs: { train: { from: { value: 41 } } },
    });
    second.kill('SIGKILL');
  }, 90_000);

  it('that is told to stop saves its steps, ends them and itself', async () => {
    const pidFile = join(lab.folder, 'stopped');
    const first = await startWorker();
    const { runId, result } = await start(hanging(pidFile));
    await untilSaved(runId);
    const exited = once(first, 'exit');
    first.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    expect(isAlive(pidIn(pidFile))).toBe(false);
    const second = await startWorker();
    expect(await result()).toMatchObject({ outputs: { train: { from: { value: 41 } } } });
    type Attempts = { attempts: { status: string; failureClass: string | null }[] };
    const path = `/api/v1/pipeline-runs/${runId}/attempts`;
    expect((await lab.user.get<Attempts>(path)).attempts).toMatchObject([
      { failureClass: 'preempted' },
      { status: 'succeeded' },
    ]);
    second.kill('SIGKILL');
  }, 90_000);

  it('ends the steps of a cancelled run', async () => {
    const pidFile = join(lab.folder, 'cancelled');
    const worker = await startWorker();
    const { runId, result, cancel } = await start(hanging(pidFile));
    await untilSaved(runId);
    await cancel();
    expect(await result()).toMatchObject({ status: 'cancelled' });
    await until(() => !isAlive(pidIn(pidFile)));
    worker.kill('SIGKILL');
  }, 90_000);
});
