import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { plan, step } from '../support/plans';
import { until } from '../support/step-lab';
import { openWorkerLab, type StartedOnWorkers, type WorkerLab } from '../support/worker-lab';

let lab: WorkerLab;
beforeAll(async () => {
  lab = await openWorkerLab();
});
afterAll(() => lab.close());

function start(script: string): Promise<StartedOnWorkers> {
  const outputs = { from: { value: true } } as const;
  return lab.start(plan([step('train', { argv: ['sh', '-c', script], outputs })]));
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
    const answer = await lab.steps.user
      .get<{ checkpoints: unknown[] }>(path)
      .catch(() => undefined);
    return (answer?.checkpoints.length ?? 0) > 0;
  });
}

describe('a step worker', () => {
  it('that is killed takes its steps with it; they go on elsewhere from their checkpoint', async () => {
    const pidFile = join(lab.steps.folder, 'killed');
    const first = await lab.startWorker();
    const { runId, result } = await start(hanging(pidFile));
    await untilSaved(runId);
    await until(() => isAlive(pidIn(pidFile)));
    first.kill('SIGKILL');
    await until(() => !isAlive(pidIn(pidFile)));
    const second = await lab.startWorker();
    expect(await result()).toMatchObject({
      status: 'succeeded',
      outputs: { train: { from: { value: 41 } } },
    });
    second.kill('SIGKILL');
  }, 90_000);

  it('that is told to stop saves its steps, ends them and itself', async () => {
    const pidFile = join(lab.steps.folder, 'stopped');
    const first = await lab.startWorker();
    const { runId, result } = await start(hanging(pidFile));
    await untilSaved(runId);
    const exited = once(first, 'exit');
    first.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    expect(isAlive(pidIn(pidFile))).toBe(false);
    const second = await lab.startWorker();
    expect(await result()).toMatchObject({ outputs: { train: { from: { value: 41 } } } });
    type Attempts = { attempts: { status: string; failureClass: string | null }[] };
    const path = `/api/v1/pipeline-runs/${runId}/attempts`;
    expect((await lab.steps.user.get<Attempts>(path)).attempts).toMatchObject([
      { failureClass: 'preempted' },
      { status: 'succeeded' },
    ]);
    second.kill('SIGKILL');
  }, 90_000);

  it('ends the steps of a cancelled run', async () => {
    const pidFile = join(lab.steps.folder, 'cancelled');
    const worker = await lab.startWorker();
    const { runId, result, cancel } = await start(hanging(pidFile));
    await untilSaved(runId);
    await cancel();
    expect(await result()).toMatchObject({ status: 'cancelled' });
    await until(() => !isAlive(pidIn(pidFile)));
    worker.kill('SIGKILL');
  }, 90_000);
});
