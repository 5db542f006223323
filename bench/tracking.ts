/**
 * The tracking API over HTTP, ours and stock MLflow's by turns, by the same client:
 *   npm run bench -- tracking [--peer PATH/TO/mlflow] [--times 3] [--seconds 8] [--runs 1000]
 * The peer (`pip install mlflow psycopg2-binary`) runs as its documents say, on a Postgres like ours.
 * Eight clients write in a closed loop; every acknowledged point is read back. The client shares the
 * machine's cores.
 */
import { parseArgs } from 'node:util';
import { buildOnce } from '../tests/support/dev-stack';
import { printRows, seconds, type Figure } from './report';
import { call, startServers, stopServers, type Server } from './servers';

const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    times: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '8' },
    runs: { type: 'string', default: '1000' },
  },
});
const CLIENTS = 8;
const KEYS = 10;
const WARM_UP_S = 2;
const SEARCHES = 30;
const PAGE = 100;
const times = Number(values.times);
const command = 'npm run bench -- tracking';

async function createRun(server: Server, experimentId = '0'): Promise<string> {
  const body = { experiment_id: experimentId, start_time: Date.now() };
  const { run } = await call(server, 'runs/create', body);
  return (run as { info: { run_id: string } }).info.run_id;
}

interface Written {
  readonly pointsPerSecond: number;
  readonly acksMs: readonly number[];
}

/** Writes for so long, then counts what is there. */
async function write(server: Server, batch: number, forS: number): Promise<Written> {
  const runIds = await Promise.all(Array.from({ length: CLIENTS }, () => createRun(server)));
  const acksMs: number[] = [];
  const start = performance.now();
  await Promise.all(
    runIds.map(async (run_id) => {
      for (let n = 0; seconds(start) < forS; n++) {
        const metrics = Array.from({ length: batch }, (_, i) => ({
          key: `metric-${i % KEYS}`,
          value: Math.random(),
          timestamp: 1_760_000_000_000 + n,
          step: n * Math.ceil(batch / KEYS) + Math.floor(i / KEYS),
        }));
        const sent = performance.now();
        if (batch === 1) await call(server, 'runs/log-metric', { run_id, ...metrics[0] });
        else await call(server, 'runs/log-batch', { run_id, metrics });
        acksMs.push(performance.now() - sent);
      }
    }),
  );
  const acknowledged = acksMs.length * batch;
  const pointsPerSecond = acknowledged / seconds(start);
  let found = 0;
  for (const runId of runIds) found += await count(server, runId, Math.min(KEYS, batch));
  if (found !== acknowledged) throw new Error(`${server.name}: ${found} of ${acknowledged} points`);
  return { pointsPerSecond, acksMs };
}

async function count(server: Server, runId: string, keys: number): Promise<number> {
  let points = 0;
  for (let key = 0; key < keys; key++) {
    let token = '';
    do {
      const query = `run_id=${runId}&metric_key=metric-${key}&max_results=25000&page_token=${token}`;
      const page = await call(server, `metrics/get-history?${query}`);
      points += (page['metrics'] as unknown[] | undefined)?.length ?? 0;
      token = encodeURIComponent((page['next_page_token'] as string | undefined) ?? '');
    } while (token !== '');
  }
  return points;
}

/** The same runs on every server, each with a metric and a param. */
async function createRuns(server: Server): Promise<string> {
  const name = `bench-${Date.now()}`;
  const { experiment_id } = await call(server, 'experiments/create', { name });
  const runs = Number(values.runs);
  let next = 0;
  const client = async (): Promise<void> => {
    for (let i = next++; i < runs; i = next++) {
      const run_id = await createRun(server, experiment_id as string);
      const metrics = [{ key: 'acc', value: i / runs, timestamp: 1, step: 0 }];
      const params = [{ key: 'lr', value: String(i % 7) }];
      await call(server, 'runs/log-batch', { run_id, metrics, params });
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return experiment_id as string;
}

async function search(server: Server, experimentId: string): Promise<number> {
  const body = {
    experiment_ids: [experimentId],
    max_results: PAGE,
  };
  const sent = performance.now();
  const { runs } = await call(server, 'runs/search', body);
  const took = performance.now() - sent;
  if ((runs as unknown[]).length !== Math.min(PAGE, Number(values.runs)))
    throw new Error(`${server.name}: wrong answer`);
  return took;
}

/** One scenario on every server by turns; with two servers also the ratio of each turn. */
async function compareWrites(servers: readonly Server[], batch: number): Promise<Figure[]> {
  const written = servers.map((): Written[] => []);
  for (const server of servers) await write(server, batch, WARM_UP_S);
  for (let i = 0; i < times; i++) {
    for (const [at, server] of servers.entries()) {
      written[at]?.push(await write(server, batch, Number(values.seconds)));
    }
  }
  const what = batch === 1 ? 'log-metric' : `log-batch of ${batch}`;
  const rates = written.map((windows) => windows.map((w) => w.pointsPerSecond));
  const figures = servers.flatMap(({ name }, at): Figure[] => [
    { what: `${name}: ${what}`, unit: 'points/s', samples: rates[at] ?? [], command },
    {
      what: `${name}: ${what}`,
      unit: 'ms',
      samples: written[at]?.flatMap((w) => w.acksMs) ?? [],
      command,
    },
  ]);
  const [ours = [], theirs] = rates;
  if (theirs === undefined) return figures;
  const samples = ours.map((rate, i) => rate / (theirs[i] ?? NaN));
  return [...figures, { what: `ours ÷ stock: ${what}`, unit: '×', samples, command }];
}

async function compareSearch(servers: readonly Server[]): Promise<Figure[]> {
  const ids: string[] = [];
  for (const server of servers) ids.push(await createRuns(server));
  const took = servers.map((): number[] => []);
  for (let i = 0; i < SEARCHES; i++) {
    for (const [at, server] of servers.entries()) {
      took[at]?.push(await search(server, ids[at] ?? ''));
    }
  }
  const what = `the newest ${PAGE} of ${values.runs} runs`;
  return servers.map(({ name }, at) => {
    return { what: `${name}: ${what}`, unit: 'ms', samples: took[at] ?? [], command };
  });
}

async function main(): Promise<void> {
  buildOnce();
  const servers: Server[] = [];
  try {
    await startServers(servers, values.peer);
    const figures: Figure[] = [];
    for (const batch of [1000, 100, 10, 1]) figures.push(...(await compareWrites(servers, batch)));
    printRows([...figures, ...(await compareSearch(servers))]);
  } finally {
    await stopServers(servers);
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
