import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadyStack } from '../../dev/main';
import { freePort } from '../../dev/ports';
import type { PipelineRun, Step } from '../../schemas/pipeline-runs';
import { packCode, uploadCode } from '../../sdk/code-bundle';
import { createHttp } from '../../sdk/http';
import type { Http } from '../../sdk/http';
import { loadPipeline } from '../../sdk/load-pipeline';
import { untilEnded } from '../support/runs-over-http';

/**
 * Trains the digits example six times on one stack: once in peace, then with each process killed by
 * SIGKILL in mid-training. Every run must end the same: same accuracy, no gap in any curve. Run it
 * with `npm run test:faults`; it takes three to four minutes and ends with `N passed, N failed`.
 */
const EXAMPLE = join('examples', '01-digits');
const VICTIMS = ['nobody', 'step', 'control', 'api', 'temporal', 'postgres'] as const;
const EPOCHS = 120;
const RUN_TIMEOUT_MS = 180_000;

interface Outcome {
  readonly accuracy: unknown;
  readonly model: unknown;
  readonly gaps: number;
}

async function main(): Promise<void> {
  const port = await freePort();
  const stack = spawn(
    process.execPath,
    ['dist/cli/main.js', 'dev', '--ephemeral', '--ready-json', '--port', String(port)],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  let ready: ReadyStack | undefined;
  for await (const line of createInterface({ input: stack.stdout })) {
    ready = JSON.parse(line) as ReadyStack;
    break;
  }
  if (ready === undefined) throw new Error('the stack did not start');
  const http = createHttp({ baseUrl: ready.api, retries: 12 });
  const outcomes: Record<string, Outcome | string> = {};
  try {
    for (const victim of VICTIMS) {
      outcomes[victim] = await trainWithout(http, { victim, pids: ready.pids }).catch(String);
      console.log(victim.padEnd(9), JSON.stringify(outcomes[victim]));
    }
  } finally {
    stack.kill('SIGINT');
  }
  const expected = JSON.stringify(outcomes['nobody']);
  const isGood = (outcome: Outcome | string | undefined): boolean =>
    typeof outcome === 'object' && outcome.gaps === 0 && JSON.stringify(outcome) === expected;
  const failed = VICTIMS.filter((victim) => !isGood(outcomes[victim]));
  console.log(`${VICTIMS.length - failed.length} passed, ${failed.length} failed`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

async function trainWithout(
  http: Http,
  {
    victim,
    pids,
  }: { readonly victim: (typeof VICTIMS)[number]; readonly pids: ReadyStack['pids'] },
): Promise<Outcome> {
  const plan = await loadPipeline(join(EXAMPLE, 'pipeline.ts'));
  const packed = await packCode(EXAMPLE);
  await uploadCode(http, packed);
  const params = { seed: 1, epochs: EPOCHS };
  const { id } = await http.post<PipelineRun>('/api/v1/pipeline-runs', {
    plan,
    params,
    codeDigest: packed.digest,
  });
  const path = `/api/v1/pipeline-runs/${id}`;
  if (victim !== 'nobody') {
    await untilTraining(http, path);
    // each is killed once, so the pid that was announced is still its own
    process.kill(pids[victim] ?? 0, 'SIGKILL');
  }
  const run = await untilEnded(http, path, RUN_TIMEOUT_MS);
  if (run.status !== 'succeeded') throw new Error(`${run.status}: ${run.reason ?? ''}`);
  return readOutcome(http, path);
}

/** Waits until every training step has saved itself. */
async function untilTraining(http: Http, path: string): Promise<void> {
  const deadline = Date.now() + RUN_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const { checkpoints } = await http.get<{ checkpoints: { stepKey: string }[] }>(
      `${path}/checkpoints`,
    );
    if (new Set(checkpoints.map((checkpoint) => checkpoint.stepKey)).size >= 2) return;
    await sleep(50);
  }
  throw new Error('training never began');
}

async function readOutcome(http: Http, path: string): Promise<Outcome> {
  const { steps } = await http.get<{ steps: Step[] }>(`${path}/steps`);
  const outputs = (key: string): Record<string, unknown> =>
    steps.find((step) => step.key === key)?.outputs ?? {};
  let gaps = 0;
  for (const step of steps.filter((one) => one.key.startsWith('train['))) {
    const query = `run_id=${step.trackedRunId ?? ''}&metric_key=loss&max_results=25000`;
    const answer = await http.get<{ metrics?: { step: number }[] }>(
      `/api/2.0/mlflow/metrics/get-history?${query}`,
    );
    const seen = new Set((answer.metrics ?? []).map((point) => point.step));
    for (let epoch = 1; epoch <= EPOCHS; epoch += 1) if (!seen.has(epoch)) gaps += 1;
  }
  return { accuracy: outputs('evaluate')['accuracy'], model: outputs('pick')['model'], gaps };
}

main().catch((error: unknown) => {
  console.error(error);
  console.log('0 passed, 1 failed');
  process.exitCode = 1;
});
