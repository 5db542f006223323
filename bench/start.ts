/**
 * How long `anneal dev` takes until it serves, and to stop: npm run bench -- start [--times 10]
 * `first`: a folder that does not exist. `again`: the same folder. `busy`: stopped while a step runs.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ReadyStack } from '../dev/main';
import { createHttp } from '../sdk/http';
import { buildOnce, eventually, startDev } from '../tests/support/dev-stack';
import { plan, step } from '../tests/support/plans';
import { cpuSeconds } from './cpu';
import { printRows, seconds } from './report';

const { values } = parseArgs({ options: { times: { type: 'string', default: '10' } } });
const times = Number(values.times);

interface Cycle {
  readonly startS: number;
  /** CPU of all parts until they serve: other work changes it far less than a time. */
  readonly cpuS: number;
  readonly stopS: number;
}

/** Starts it, lets `work` happen, presses Ctrl-C. */
async function cycle(
  flags: readonly string[],
  work: (stack: ReadyStack) => Promise<void> = () => Promise.resolve(),
): Promise<Cycle> {
  const started = performance.now();
  const dev = startDev([...flags, '--port', '0']);
  const stack = await dev.ready;
  const startS = seconds(started);
  const cpuS = cpuSeconds(stack.pids['supervisor'] ?? 0);
  await work(stack);
  const pressed = performance.now();
  dev.child.kill('SIGINT');
  const { code } = await dev.ended;
  if (code !== 0) throw new Error(`it ended with code ${code ?? '?'}: ${dev.stderr()}`);
  return { startS, cpuS, stopS: seconds(pressed) };
}

async function repeat(one: () => Promise<Cycle>): Promise<Cycle[]> {
  const cycles: Cycle[] = [];
  while (cycles.length < times) cycles.push(await one());
  return cycles;
}

/** A step that would go on for minutes, under way. */
async function startSleep({ api }: ReadyStack): Promise<void> {
  const http = createHttp({ baseUrl: api });
  const body = { plan: plan([step('wait', { argv: ['sleep', '300'], timeoutSeconds: 600 })]) };
  const { id } = await http.post<{ id: string }>('/api/v1/pipeline-runs', body);
  await eventually('the step runs', async () => {
    const path = `/api/v1/pipeline-runs/${id}/steps`;
    const { steps } = await http.get<{ steps: { status: string }[] }>(path);
    return steps[0]?.status === 'running';
  });
}

async function main(): Promise<void> {
  buildOnce();
  const first = await repeat(() => cycle(['--ephemeral']));
  const dataDir = mkdtempSync(join(tmpdir(), 'anneal-bench-'));
  await cycle(['--data', dataDir]);
  const again = await repeat(() => cycle(['--data', dataDir]));
  rmSync(dataDir, { recursive: true, force: true });
  const busy = await repeat(() => cycle(['--ephemeral'], startSleep));
  const command = 'npm run bench -- start';
  const rows: readonly [string, string, number[]][] = [
    ['first start', '≤ 15', [...first, ...busy].map((c) => c.startS)],
    ['first start, CPU', '', [...first, ...busy].map((c) => c.cpuS)],
    ['following start', '≤ 6', again.map((c) => c.startS)],
    ['following start, CPU', '', again.map((c) => c.cpuS)],
    ['Ctrl-C, idle', '≤ 10', [...first, ...again].map((c) => c.stopS)],
    ['Ctrl-C, a step runs', '≤ 10', busy.map((c) => c.stopS)],
  ];
  printRows(rows.map(([what, goal, samples]) => ({ what, goal, unit: 's', samples, command })));
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
