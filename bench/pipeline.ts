/**
 * How fast the engine is, with steps that do nothing, on a stack of its own:
 *   npm run bench -- pipeline [--steps 500] [--times 3] [--singles 30]
 * Times are those of the database, so polling adds nothing. A step is a process of its own (`true`).
 */
import { parseArgs } from 'node:util';
import type { ReadyStack } from '../dev/main';
import type { Transition } from '../schemas/pipeline-runs';
import type { Plan } from '../schemas/plan';
import { createHttp, type Http } from '../sdk/http';
import { buildOnce, startDev } from '../tests/support/dev-stack';
import { plan, step } from '../tests/support/plans';
import { cpuSeconds } from './cpu';
import { printRows, type Figure } from './report';
import { RUNS, runToEnd } from './runs';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '500' },
    times: { type: 'string', default: '3' },
    singles: { type: 'string', default: '30' },
  },
});
const WAITING = { pollMs: 100, timeoutMs: 600_000 } as const;
const command = 'npm run bench -- pipeline';

const run = (http: Http, of: Plan): ReturnType<typeof runToEnd> => runToEnd(http, of, WAITING);

function between(from: string | null | undefined, to: string | null | undefined): number {
  return Date.parse(to ?? '') - Date.parse(from ?? '');
}

async function singles(http: Http): Promise<Figure[]> {
  const one = plan([step('one')]);
  await run(http, one); // the first builds caches
  const whole: number[] = [];
  const waiting: number[] = [];
  const working: number[] = [];
  for (let i = 0; i < Number(values.singles); i++) {
    const { id, createdAt, endedAt } = await run(http, one);
    whole.push(between(createdAt, endedAt));
    const path = `${RUNS}/${id}/transitions`;
    const { transitions } = await http.get<{ transitions: Transition[] }>(path);
    const at = new Map(transitions.map((transition) => [transition.state, transition.at]));
    waiting.push(between(at.get('ready'), at.get('started')));
    working.push(between(at.get('started'), at.get('succeeded')));
  }
  return [
    { what: 'run of one step, created → ended', unit: 'ms', samples: whole, command },
    { what: 'its step, ready → started', unit: 'ms', samples: waiting, command },
    { what: 'its step, started → succeeded', unit: 'ms', samples: working, command },
  ];
}

/** Each step waits for the one before: what one more step adds. */
async function chain(http: Http): Promise<Figure> {
  const length = Number(values.singles);
  const steps = Array.from({ length }, (_, i) =>
    step(`s${i}`, i === 0 ? {} : { after: [`s${i - 1}`] }),
  );
  const { id } = await run(http, plan(steps));
  const path = `${RUNS}/${id}/steps`;
  const ends = (await http.get<{ steps: { endedAt: string }[] }>(path)).steps
    .map(({ endedAt }) => endedAt)
    .sort();
  const samples = ends.slice(1).map((end, i) => between(ends[i], end));
  return { what: `step in a chain of ${length}, end → end`, unit: 'ms', samples, command };
}

interface Cost {
  readonly part: string;
  readonly cpuMs: number;
}

/** CPU of each part for each step: it shows where the work is, and other work changes it little. */
async function foreach(http: Http, pids: ReadyStack['pids']): Promise<Figure[]> {
  const count = Number(values.steps);
  const items = Array.from({ length: count }, (_, i) => i);
  const wide = plan([step('all', { foreach: { i: 'params.items' } })], {
    items: { type: 'list', default: items },
  });
  const rates: number[] = [];
  const costs: Cost[] = [];
  for (let i = 0; i < Number(values.times); i++) {
    const before = Object.entries(pids).map(([part, pid]) => ({ part, pid, s: cpuSeconds(pid) }));
    const { startedAt, endedAt } = await run(http, wide);
    rates.push((count * 1000) / between(startedAt, endedAt));
    for (const { part, pid, s } of before) {
      costs.push({ part, cpuMs: ((cpuSeconds(pid) - s) * 1000) / count });
    }
  }
  const figures = Object.keys(pids)
    .filter((part) => part !== 'supervisor') // everything is below it
    .map((part): Figure => {
      const samples = costs.filter((cost) => cost.part === part).map(({ cpuMs }) => cpuMs);
      return { what: `CPU of ${part} for each of these steps`, unit: 'ms', samples, command };
    });
  const what = `foreach over ${count}, 4 at once`;
  return [{ what, unit: 'steps/s', samples: rates, command }, ...figures];
}

async function main(): Promise<void> {
  buildOnce();
  const dev = startDev(['--ephemeral', '--port', '0']);
  try {
    const { api, pids } = await dev.ready;
    const http = createHttp({ baseUrl: api });
    const alone = await singles(http);
    const chained = await chain(http);
    printRows([...alone, chained, ...(await foreach(http, pids))]);
  } finally {
    dev.child.kill('SIGINT');
    await dev.ended;
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
