/**
 * How fast the engine is with steps that run no process (`builtin/nothing`), on a stack of its own:
 *   npm run bench -- engine [--steps 10000] [--times 1] [--singles 30]
 * From inside: the times in the transition rows. From outside: the wall clock of this process.
 */
import { parseArgs } from 'node:util';
import type { ReadyStack } from '../dev/main';
import type { Transition } from '../schemas/pipeline-runs';
import type { Plan } from '../schemas/plan';
import { createHttp, type Http } from '../sdk/http';
import { buildOnce, startDev } from '../tests/support/dev-stack';
import { allTransitions } from '../tests/support/runs-over-http';
import { cpuSeconds } from './cpu';
import { printRows, type Figure } from './report';
import { RUNS, runToEnd } from './runs';
import { chainOf, mixed } from './shapes';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '10000' },
    times: { type: 'string', default: '1' },
    singles: { type: 'string', default: '30' },
  },
});
const WAITING = { pollMs: 50, timeoutMs: 900_000 } as const;
const command = 'npm run bench -- engine';

const run = (http: Http, of: Plan): ReturnType<typeof runToEnd> => runToEnd(http, of, WAITING);

function at(transitions: readonly Transition[], state: string): Map<string, number> {
  const of = transitions.filter((one) => one.state === state);
  return new Map(of.map((one) => [one.stepKey, Date.parse(one.at)]));
}

async function starts(http: Http): Promise<Figure> {
  const samples: number[] = [];
  for (let i = 0; i < Number(values.singles); i += 1) {
    const { id, createdAt } = await run(http, chainOf(1));
    const started = at(await allTransitions(http, `${RUNS}/${id}`), 'started').get('s0') ?? NaN;
    samples.push(started - Date.parse(createdAt));
  }
  const what = 'start a run → first step’s code running';
  return { what, unit: 'ms', goal: '≤ 150', samples, command };
}

async function chains(http: Http): Promise<Figure[]> {
  const dispatch: number[] = [];
  const walls: number[] = [];
  for (let i = 0; i < 3; i += 1) {
    const { id, wall } = await run(http, chainOf(100));
    walls.push(wall);
    const all = await allTransitions(http, `${RUNS}/${id}`);
    const [started, ended] = [at(all, 'started'), at(all, 'succeeded')];
    for (let j = 1; j < 100; j += 1) {
      dispatch.push((started.get(`s${j}`) ?? NaN) - (ended.get(`s${j - 1}`) ?? NaN));
    }
  }
  const what = 'step committed → next step’s code running';
  return [
    { what, unit: 'ms', goal: 'p50 ≤ 60, p99 ≤ 300', samples: dispatch, command },
    { what: 'chain of 100 steps', unit: 's', goal: '≤ 6', samples: walls, command },
  ];
}

async function many(http: Http, pids: ReadyStack['pids']): Promise<Figure[]> {
  const count = Number(values.steps);
  const inside: number[] = [];
  const outside: number[] = [];
  const costs = new Map<string, number[]>();
  for (let i = 0; i < Number(values.times); i += 1) {
    const before = cpuOf(pids);
    const { startedAt, endedAt, wall } = await run(http, mixed(count));
    const after = cpuOf(pids);
    for (const [part, s] of after) {
      costs.set(part, [...(costs.get(part) ?? []), ((s - (before.get(part) ?? s)) * 1000) / count]);
    }
    inside.push((Date.parse(endedAt ?? '') - Date.parse(startedAt ?? '')) / 1000);
    outside.push(wall);
  }
  const rates = outside.map((wall) => count / wall);
  const what = `${count} steps, mixed shape`;
  return [
    { what: `${what}, wall clock`, unit: 's', goal: '≤ 40', samples: outside, command },
    { what: `${what}, by its rows`, unit: 's', samples: inside, command },
    { what, unit: 'steps/s', goal: '≥ 250', samples: rates, command },
    ...[...costs].map(([part, samples]): Figure => {
      return { what: `CPU of ${part} for each of these`, unit: 'ms', samples, command };
    }),
  ];
}

/** Other work on the machine makes the clock slower, but not this. */
function cpuOf(pids: ReadyStack['pids']): Map<string, number> {
  const parts = Object.entries(pids).filter(([part]) => part !== 'supervisor'); // all is below it
  return new Map(parts.map(([part, pid]) => [part, cpuSeconds(pid)]));
}

async function main(): Promise<void> {
  buildOnce();
  const dev = startDev(['--ephemeral', '--port', '0']);
  try {
    const { api, pids } = await dev.ready;
    const http = createHttp({ baseUrl: api });
    await run(http, chainOf(20)); // the first builds caches
    printRows([await starts(http), ...(await chains(http)), ...(await many(http, pids))]);
  } finally {
    dev.child.kill('SIGINT');
    await dev.ended;
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
