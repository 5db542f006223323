import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { ReadyStack } from '../../dev/main';
import type { PipelineRun, Step, Transition } from '../../schemas/pipeline-runs';
import { packCode, uploadCode } from '../../sdk/code-bundle';
import { createHttp, type Http } from '../../sdk/http';
import { loadPipeline } from '../../sdk/load-pipeline';
import { buildOnce, startDev } from '../support/dev-stack';
import { allTransitions, untilEnded } from '../support/runs-over-http';
import { seeded } from '../support/sim-disk';
import { commandOf, pidOf } from '../support/stack-processes';

/**
 * Runs a pipeline of 300 steps again and again while processes of the stack are killed with SIGKILL at
 * random moments, and then holds what the api tells against what must be true:
 *   npm run test:faults:engine [-- --rounds 20 --seed 1 --steps 300]
 * Every run succeeds; every step commits once and gives the number that arithmetic gives, though its
 * attempts were killed, failed on purpose and went on at checkpoints; no attempt stays open and no
 * process of a step is left. It ends with `N passed, N failed`.
 */
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    steps: { type: 'string', default: '300' },
  },
});
const VICTIMS = ['step', 'control', 'api', 'temporal', 'postgres'] as const;
const KILLS_A_ROUND = 4;
const RUN_TIMEOUT_MS = 300_000;
const PROGRAM = `work-${process.pid}.mjs`; // by this name its processes are found
/** Every so many items one is long and saves itself at every tick; the others have one tick. */
const LONG = { every: 20, ticks: 20 };

/** One item: adds up 1 to its ticks, goes on at its checkpoint, and every seventh fails at first. */
const WORK = `
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
const index = Number(process.argv[2]);
const ticks = index % ${LONG.every} === 0 ? ${LONG.ticks} : 1;
const { ANNEAL_ATTEMPT, ANNEAL_CHECKPOINT_DIR, ANNEAL_OUTPUT_DIR, ANNEAL_RESUME_FROM } = process.env;
if (index % 7 === 0 && ANNEAL_ATTEMPT === '1') process.exit(1);
let state = { tick: 0, sum: 0 };
if (ANNEAL_RESUME_FROM) state = JSON.parse(readFileSync(join(ANNEAL_RESUME_FROM, 'state'), 'utf8'));
while (state.tick < ticks) {
  const tick = state.tick + 1;
  state = { tick, sum: state.sum + tick };
  if (ticks === 1) continue;
  await sleep(250);
  const half = join(ANNEAL_CHECKPOINT_DIR, '.half');
  mkdirSync(half);
  writeFileSync(join(half, 'state'), JSON.stringify(state));
  renameSync(half, join(ANNEAL_CHECKPOINT_DIR, 'tick-' + tick));
}
writeFileSync(join(ANNEAL_OUTPUT_DIR, 'outputs.json'), JSON.stringify({ sum: state.sum }));
`;

/** Two stages of a foreach with a step between: what is ready depends on what was committed. */
function pipelineOf(items: number): string {
  const stage = (name: string, after: string): string => `
  ${name}:
    foreach: { i: params.items }${after}
    argv: [node, ${PROGRAM}, '\${{ item.i }}']
    outputs: { sum: value }
    retry: { max: 5, on: [crash] }
    checkpoint: { grace: 5s }`;
  return `version: 1
name: faults
params: { items: ${JSON.stringify(Array.from({ length: items }, (_, i) => i))} }
steps:${stage('first', '')}
  between: { uses: builtin/nothing, after: [first] }${stage('second', '\n    after: [between]')}
  last: { uses: builtin/nothing, after: [second] }
`;
}

interface Round {
  readonly http: Http;
  readonly stack: ReadyStack;
  readonly random: () => number;
  readonly folder: string;
  readonly items: number;
}

/** Starts the run, kills, waits for its end; gives every sentence that is not true. */
async function playRound({ http, stack, random, folder, items }: Round): Promise<string[]> {
  const plan = await loadPipeline(join(folder, 'pipeline.yaml'));
  const packed = await packCode(folder);
  await uploadCode(http, packed);
  const start = { plan, params: {}, codeDigest: packed.digest };
  const { id } = await http.post<PipelineRun>('/api/v1/pipeline-runs', start);
  const path = `/api/v1/pipeline-runs/${id}`;
  for (let kill = 0; kill < KILLS_A_ROUND; kill += 1) {
    await sleep(500 + random() * 4_000);
    const victim = VICTIMS[Math.floor(random() * VICTIMS.length)] ?? 'step';
    const pid = pidOf(stack.dataDir, victim);
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    process.stdout.write(` ${victim}${pid === undefined ? ' (was down)' : ''}`);
  }
  const run = await untilEnded(http, path, RUN_TIMEOUT_MS);
  const problems = run.status === 'succeeded' ? [] : [`${run.status}: ${run.reason ?? ''}`];
  return [...problems, ...(await wrongRows(http, { path, items })), ...(await leftovers())];
}

interface Attempt {
  readonly stepKey: string;
  readonly attempt: number;
  readonly status: string;
  readonly endedAt: string | null;
}

/** What the read model says, against the pipeline: ends, outputs, attempts and transitions. */
async function wrongRows(
  http: Http,
  { path, items }: { readonly path: string; readonly items: number },
): Promise<string[]> {
  const { steps } = await http.get<{ steps: Step[] }>(`${path}/steps`);
  const { attempts } = await http.get<{ attempts: Attempt[] }>(`${path}/attempts`);
  const commits = countBy(
    (await allTransitions(http, path)).filter(({ state }) => state === 'succeeded'),
  );
  const expected = new Map<string, number | undefined>([
    ['between', undefined],
    ['last', undefined],
  ]);
  for (let i = 0; i < items; i += 1) {
    const ticks = i % LONG.every === 0 ? LONG.ticks : 1;
    for (const stage of ['first', 'second']) {
      expected.set(`${stage}[${i}]`, (ticks * (ticks + 1)) / 2);
    }
  }
  const problems: string[] = [];
  for (const [key, sum] of expected) {
    const step = steps.find((one) => one.key === key);
    const own = attempts.filter((one) => one.stepKey === key);
    const numbers = new Set(own.map(({ attempt }) => attempt));
    const succeeded = own.filter(({ status }) => status === 'succeeded').length;
    if (step?.status !== 'succeeded') problems.push(`${key} is ${step?.status ?? 'missing'}`);
    const given = JSON.stringify(step?.outputs ?? null);
    const right = JSON.stringify(sum === undefined ? {} : { sum: { value: sum } });
    if (given !== right) problems.push(`${key} gave ${given}, not ${right}`);
    if (commits.get(key) !== 1) problems.push(`${key} has ${commits.get(key) ?? 0} commits`);
    if (sum !== undefined && succeeded !== 1) problems.push(`${key}: ${succeeded} good attempts`);
    if (numbers.size !== own.length) problems.push(`${key} has an attempt twice`);
    const open = own.filter(({ endedAt }) => endedAt === null);
    if (open.length > 0) problems.push(`${key} has an open attempt`);
  }
  if (steps.length !== expected.size) problems.push(`${steps.length} steps`);
  return problems;
}

function countBy(transitions: readonly Transition[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { stepKey } of transitions) counts.set(stepKey, (counts.get(stepKey) ?? 0) + 1);
  return counts;
}

/** Processes of steps that still live, though the run has ended: they get five seconds to go. */
async function leftovers(): Promise<string[]> {
  let living: string[] = [];
  for (let look = 0; look < 25; look += 1) {
    living = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && isOfStep(pid));
    if (living.length === 0) return [];
    await sleep(200);
  }
  return living.map((pid) => `process ${pid} is left: ${commandOf(pid)}`);
}

function isOfStep(pid: string): boolean {
  return Number(pid) !== process.pid && commandOf(pid).includes(PROGRAM);
}

async function main(): Promise<void> {
  buildOnce();
  const folder = mkdtempSync(join(tmpdir(), 'anneal-faults-'));
  const items = Math.floor((Number(options.steps) - 2) / 2);
  writeFileSync(join(folder, PROGRAM), WORK);
  writeFileSync(join(folder, 'pipeline.yaml'), pipelineOf(items));
  const random = seeded(Number(options.seed));
  const dev = startDev(['--ephemeral', '--port', '0']);
  let passed = 0;
  const rounds = Number(options.rounds);
  try {
    const stack = await dev.ready;
    const http = createHttp({ baseUrl: stack.api, retries: 12 });
    for (let round = 1; round <= rounds; round += 1) {
      const begun = Date.now();
      process.stdout.write(`round ${round}:`);
      const given: Round = { http, stack, random, folder, items };
      const problems = await playRound(given).catch((error: unknown) => [String(error)]);
      if (problems.length === 0) passed += 1;
      const seconds = Math.round((Date.now() - begun) / 1000);
      console.log(problems.length === 0 ? ` ok (${seconds} s)` : ` FAILED (${seconds} s)`);
      for (const problem of problems.slice(0, 20)) console.log(`  ${problem}`);
    }
  } finally {
    dev.child.kill('SIGINT');
    await dev.ended;
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`${passed} passed, ${rounds - passed} failed`);
  process.exitCode = passed === rounds ? 0 : 1;
}

main().catch((error: unknown) => {
  console.error(error);
  console.log('0 passed, 1 failed');
  process.exitCode = 1;
});
