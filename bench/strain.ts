/**
 * The engine under strain, on a stack of its own:
 *   npm run bench -- strain [--steps 10000] [--runs 50] [--processes 1000]
 * The control worker is killed while half of the steps have ended; the largest history is replayed; many
 * runs are in flight at once; steps start real processes.
 */
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { ReadyStack } from '../dev/main';
import type { PipelineRun } from '../schemas/pipeline-runs';
import { createHttp, type Http } from '../sdk/http';
import { buildOnce, startDev } from '../tests/support/dev-stack';
import { plan, step } from '../tests/support/plans';
import { allTransitions } from '../tests/support/runs-over-http';
import { pidOf, readProcess } from '../tests/support/stack-processes';
import { printRows, seconds, type Figure } from './report';
import { RUNS, runToEnd } from './runs';
import { chainOf, mixed } from './shapes';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '10000' },
    runs: { type: 'string', default: '50' },
    processes: { type: 'string', default: '1000' },
  },
});
const WAITING = { pollMs: 100, timeoutMs: 900_000 } as const;
const SLOTS = 8;
const command = 'npm run bench -- strain';

interface Counted {
  readonly endedAt: string | null;
  readonly status: string;
  readonly steps: { readonly total: number; readonly byStatus: Readonly<Record<string, number>> };
}

/** Once in peace and once with the worker killed half-way; checks that every step has one commit. */
async function killed(http: Http, { pids }: ReadyStack): Promise<Figure[]> {
  const count = Number(values.steps);
  const peace = await runToEnd(http, mixed(count), WAITING);
  const begun = performance.now();
  const { id } = await http.post<PipelineRun>(RUNS, { plan: mixed(count) });
  let isKilled = false;
  for (;;) {
    const now = await http.get<Counted>(`${RUNS}/${id}`);
    if (!isKilled && (now.steps.byStatus['succeeded'] ?? 0) >= count / 2) {
      process.kill(pids['control'] ?? 0, 'SIGKILL');
      isKilled = true;
    }
    if (now.endedAt !== null) {
      if (now.status !== 'succeeded') throw new Error(`the run has ${now.status}`);
      break;
    }
    await sleep(WAITING.pollMs);
  }
  const wall = seconds(begun);
  const twice = count - (await distinctCommits(http, id));
  const what = `${count} steps, control worker killed half-way`;
  return [
    { what: `${count} steps, nothing killed`, unit: 's', samples: [peace.wall], command },
    { what, unit: 's', samples: [wall], command },
    {
      what: `${what}: more than in peace`,
      unit: 's',
      goal: '≤ 15',
      samples: [wall - peace.wall],
      command,
    },
    {
      what: `${what}: commits too many or too few`,
      unit: '',
      goal: '0',
      samples: [twice],
      command,
    },
  ];
}

/** The number of commits if no step has two, otherwise NaN. */
async function distinctCommits(http: Http, id: string): Promise<number> {
  const all = await allTransitions(http, `${RUNS}/${id}`);
  const commits = all.filter(({ state }) => state === 'succeeded');
  const steps = new Set(commits.map(({ stepKey }) => stepKey));
  return steps.size === commits.length ? steps.size : NaN;
}

/** The longest history that the server holds, replayed in this process. */
async function replay({ temporal }: ReadyStack): Promise<Figure[]> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const client = new Client({ connection: await Connection.connect({ address: temporal }) });
  let largest = { workflowId: '', runId: '', historyLength: 0 };
  for await (const one of client.workflow.list()) {
    if (one.historyLength > largest.historyLength) largest = one;
  }
  const history = await client.workflow.getHandle(largest.workflowId, largest.runId).fetchHistory();
  const workflowsPath = require.resolve('../workflows');
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath,
    logger: new DefaultLogger('ERROR'),
  });
  const samples: number[] = [];
  for (let i = 0; i < 5; i += 1) {
    const begun = performance.now();
    await Worker.runReplayHistory({ workflowBundle }, history, largest.workflowId);
    samples.push(seconds(begun));
  }
  const what = `replay of the largest history, ${largest.historyLength} events`;
  return [{ what, unit: 's', goal: '≤ 2', samples, command }];
}

/** Many runs at once: the largest resident memory of the control worker meanwhile. */
async function memory(http: Http, { dataDir }: ReadyStack): Promise<Figure[]> {
  const runs = Number(values.runs);
  let peak = 0;
  let isOver = false;
  const watch = (async (): Promise<void> => {
    while (!isOver) {
      peak = Math.max(peak, residentMiB(pidOf(dataDir, 'control')));
      await sleep(200);
    }
  })();
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: runs }, () => runToEnd(http, mixed(1_000), { ...WAITING, pollMs: 1_000 })),
  );
  const wall = seconds(begun);
  isOver = true;
  await watch;
  const what = `${runs} runs of 1000 steps in flight`;
  return [
    {
      what: `${what}: memory of the control worker`,
      unit: 'MiB',
      goal: '< 700',
      samples: [peak],
      command,
    },
    { what, unit: 'steps/s', samples: [(runs * 1_000) / wall], command },
  ];
}

function residentMiB(pid: number | undefined): number {
  if (pid === undefined) return 0;
  return Number(/^VmRSS:\s+(\d+)/m.exec(readProcess(pid, 'status'))?.[1] ?? 0) / 1024;
}

/** Steps that start `true`: what the platform adds to each, beside the time of a bare spawn. */
async function processes(http: Http): Promise<Figure[]> {
  const count = Number(values.processes);
  const items = Array.from({ length: count }, (_, i) => i);
  const each = step('each', { foreach: { i: 'params.items' }, argv: ['true'], parallel: SLOTS });
  const wide = plan([each], { items: { type: 'list', default: items } });
  const { wall } = await runToEnd(http, wide, WAITING);
  const what = `${count} steps that start a process, ${SLOTS} slots`;
  return [
    { what, unit: 's', samples: [wall], command },
    {
      what: `${what}: wall clock for each`,
      unit: 'ms',
      goal: '≤ 30',
      samples: [(wall * 1_000) / count],
      command,
    },
  ];
}

async function main(): Promise<void> {
  buildOnce();
  const dev = startDev(['--ephemeral', '--port', '0'], { ANNEAL_SLOTS: String(SLOTS) });
  try {
    const stack = await dev.ready;
    const http = createHttp({ baseUrl: stack.api, retries: 12 });
    await runToEnd(http, chainOf(20), WAITING); // the first builds caches
    const figures = [...(await killed(http, stack)), ...(await replay(stack))];
    printRows([...figures, ...(await processes(http)), ...(await memory(http, stack))]);
  } finally {
    dev.child.kill('SIGINT');
    await dev.ended;
  }
}

main().then(
  () => process.exit(),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
