import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Attempt, PipelineRun, Step } from '../schemas/pipeline-runs';
import { packCode, uploadCode } from '../sdk/code-bundle';
import { createHttp } from '../sdk/http';
import type { Http } from '../sdk/http';
import { loadPipeline } from '../sdk/load-pipeline';
import type { ReadyStack } from './main';
import { freePort } from './ports';
import { checkStory, tellStory } from './demo-story';

/** Everything that happened, as the api tells it. */
export interface Story {
  readonly run: PipelineRun;
  readonly steps: readonly Step[];
  readonly attempts: readonly Attempt[];
  readonly killed: { readonly stepKey: string; readonly checkpoint: string };
  readonly epochs: number;
}

const ROOT = join(__dirname, '..', '..');
const EXAMPLE = join(ROOT, 'examples', '01-digits');
/** In the middle of training: of 120 epochs, this many are saved before the worker dies. */
const KILL_AT_EPOCH = 30;
const POLL_MS = 50;
/** The whole story takes half a minute; something is broken long before this. */
const RUN_TIMEOUT_MS = 180_000;

/** Trains on real data, kills the worker, watches the recovery, and says what happened. */
async function main(): Promise<void> {
  const started = Date.now();
  const port = await freePort();
  say('Starting Postgres, Temporal, the api with ClickHouse, and two workers …');
  const stack = startStack(port);
  try {
    const ready = await stack.ready;
    say(`Ready after ${seconds(started)}: ${ready.api} (Temporal's web UI: ${ready.temporalUi})`);
    const http = createHttp({ baseUrl: ready.api });
    const run = await startRun(http);
    say(`Pipeline run ${run.id} started: prepare → train ×3 → pick → evaluate → register.`);
    const killed = await killWorker(http, { runId: run.id, pid: ready.pids['step'] ?? 0 });
    const story = await readStory(http, { run, killed });
    const problems = await checkStory(http, story);
    await tellStory({ http, ready, story }, say);
    say(`\nAll of it took ${seconds(started)}.`);
    if (problems.length > 0) {
      for (const problem of problems) say(`NOT AS PROMISED: ${problem}`);
      process.exitCode = 1;
    }
  } finally {
    await stack.stop();
  }
}

function startStack(port: number): { ready: Promise<ReadyStack>; stop(): Promise<void> } {
  const cli = join(ROOT, 'dist', 'cli', 'main.js');
  const args = [cli, 'dev', '--ephemeral', '--ready-json', '--port', String(port)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<never>((_, refuse) => {
    child.once('exit', (code) => {
      refuse(new Error(`the stack ended with code ${code ?? '?'} before it was ready`));
    });
  });
  ended.catch(() => undefined);
  return {
    ready: Promise.race([readyLine(child), ended]),
    stop: async () => {
      if (child.exitCode !== null) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGINT');
      await gone;
    },
  };
}

async function readyLine(child: ChildProcess): Promise<ReadyStack> {
  const { stdout } = child;
  if (stdout === null) throw new Error('the stack has no output');
  for await (const line of createInterface({ input: stdout })) {
    if (line.startsWith('{')) return JSON.parse(line) as ReadyStack;
  }
  throw new Error('the stack said nothing');
}

async function startRun(http: Http): Promise<PipelineRun> {
  const plan = await loadPipeline(join(EXAMPLE, 'pipeline.ts'));
  const packed = await packCode(EXAMPLE);
  await uploadCode(http, packed);
  const body = { plan, params: { seed: 1 }, codeDigest: packed.digest };
  return http.post<PipelineRun>('/api/v1/pipeline-runs', body);
}

/** `epoch-30` → 30. */
function epochOf(checkpoint: string): number {
  return Number(/^epoch-(\d+)$/.exec(checkpoint)?.[1] ?? 0);
}

/** Waits until a training step is far enough, then kills its worker without a warning. */
async function killWorker(
  http: Http,
  { runId, pid }: { readonly runId: string; readonly pid: number },
): Promise<Story['killed']> {
  const deadline = Date.now() + RUN_TIMEOUT_MS;
  for (;;) {
    const path = `/api/v1/pipeline-runs/${runId}/checkpoints`;
    const { checkpoints } = await http.get<{ checkpoints: { stepKey: string; name: string }[] }>(
      path,
    );
    const newest = checkpoints.at(-1);
    if (newest !== undefined && epochOf(newest.name) >= KILL_AT_EPOCH) {
      process.kill(pid, 'SIGKILL');
      say(
        `\nKilled the step worker (SIGKILL, process ${pid}) while ${newest.stepKey} was at ${newest.name}.`,
      );
      say('Temporal notices within 10 s; the steps go on from their checkpoints …');
      return { stepKey: newest.stepKey, checkpoint: newest.name };
    }
    const run = await http.get<PipelineRun>(`/api/v1/pipeline-runs/${runId}`);
    if (run.endedAt !== null || Date.now() > deadline) {
      throw new Error(
        `the run was ${run.status} before anything could be killed: ${run.reason ?? ''}`,
      );
    }
    await sleep(POLL_MS);
  }
}

async function readStory(
  http: Http,
  { run: { id }, killed }: { readonly run: PipelineRun; readonly killed: Story['killed'] },
): Promise<Story> {
  const path = `/api/v1/pipeline-runs/${id}`;
  const deadline = Date.now() + RUN_TIMEOUT_MS;
  let run = await http.get<PipelineRun>(path);
  while (run.endedAt === null) {
    if (Date.now() > deadline)
      throw new Error(`the run did not end within ${RUN_TIMEOUT_MS / 1000} s`);
    await sleep(POLL_MS * 4);
    run = await http.get<PipelineRun>(path);
  }
  const { steps } = await http.get<{ steps: Step[] }>(`${path}/steps`);
  const { attempts } = await http.get<{ attempts: Attempt[] }>(`${path}/attempts`);
  return { run, steps, attempts, killed, epochs: Number(run.params['epochs']) };
}

function seconds(since: number): string {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

if (require.main === module) {
  main().catch((error: unknown) => {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}
