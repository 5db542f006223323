/**
 * How fast metrics are acknowledged and stored, on the embedded stores, in one process:
 *   npm run bench -- ingest [--times 3] [--seconds 10] [--batch 1000,100,10] [--clients 8]
 *     [--keys 10] [--durability fsync]
 * Clients append in a closed loop; a point counts when it was acknowledged inside the window. Then
 * everything is read back and compared by count. The load generator shares the machine's cores.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../dev/postgres';
import { openClickHouse } from '../storage/clickhouse/client';
import { migrateClickHouse } from '../storage/clickhouse/migrate';
import { openPostgres, type Postgres } from '../storage/postgres/client';
import { migratePostgres } from '../storage/postgres/migrate';
import { openWal, type Durability } from '../storage/wal/wal';
import { openMetrics, type Metrics } from '../tracker/metrics';
import { printRows, seconds, type Figure } from './report';

const { values: options } = parseArgs({
  options: {
    times: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '10' },
    clients: { type: 'string', default: '8' },
    batch: { type: 'string', default: '1000,100,10' },
    keys: { type: 'string', default: '10' },
    durability: { type: 'string', default: 'fsync' },
  },
});
const times = Number(options.times);
const windowS = Number(options.seconds);
const WARM_UP_S = 2;
const keys = Number(options.keys);

interface Window {
  readonly pointsPerSecond: number;
  readonly acksMs: readonly number[];
  /** Of CPU of this process for each second of the window: all cores busy is their number. */
  readonly cores: number;
  /** Until the last point of the window was in ClickHouse: the rate that can go on for ever. */
  readonly storedPerSecond: number;
  readonly pagesMs: readonly number[];
}
interface Stores {
  readonly metrics: Metrics;
  readonly postgres: Postgres;
}

/** Appends for so long, waits until all is stored, reads all back. Throws if a point is missing. */
async function measure(
  { metrics, postgres }: Stores,
  { batch, forS }: { readonly batch: number; readonly forS: number },
): Promise<Window> {
  const runIds = await createRuns(postgres);
  const acksMs: number[] = [];
  let acknowledged = 0;
  const start = performance.now();
  const before = process.cpuUsage();
  await Promise.all(
    runIds.map(async (runId) => {
      for (let step = 0; seconds(start) < forS; step += Math.ceil(batch / keys)) {
        const points = createPoints(batch, step);
        const sent = performance.now();
        await metrics.append({ projectId: 'default', runId, attempt: 0, points });
        acksMs.push(performance.now() - sent);
        acknowledged += batch;
      }
    }),
  );
  const wallS = seconds(start);
  const { user, system } = process.cpuUsage(before);
  await metrics.settle();
  const storedPerSecond = acknowledged / seconds(start);
  const { points, pagesMs } = await readBack(metrics, { runIds, batch });
  if (points !== acknowledged) throw new Error(`${acknowledged} acknowledged, ${points} read back`);
  const cores = (user + system) / 1e6 / wallS;
  return { pointsPerSecond: acknowledged / wallS, acksMs, cores, storedPerSecond, pagesMs };
}

async function createRuns(postgres: Postgres): Promise<string[]> {
  const length = Number(options.clients);
  const runIds = Array.from({ length }, () => crypto.randomUUID().replaceAll('-', ''));
  await postgres.query(
    `INSERT INTO runs (project_id, id, experiment_id, name, status, started_ms, artifact_uri)
    SELECT 'default', id, 0, 'bench', 'RUNNING', 0, '' FROM unnest($1::text[]) AS id`,
    [runIds],
  );
  return runIds;
}

function createPoints(length: number, step: number): Parameters<Metrics['append']>[0]['points'] {
  return Array.from({ length }, (_, i) => ({
    key: `metric-${i % keys}`,
    value: Math.random(),
    step: step + Math.floor(i / keys),
    timestampMs: 1_760_000_000_000 + step,
  }));
}

/** Pages through every series; returns points and the latency of each page. */
async function readBack(
  metrics: Metrics,
  { runIds, batch }: { readonly runIds: readonly string[]; readonly batch: number },
): Promise<{ points: number; pagesMs: number[] }> {
  let points = 0;
  const pagesMs: number[] = [];
  for (const runId of runIds) {
    for (let key = 0; key < Math.min(keys, batch); key++) {
      let pageToken: string | undefined;
      do {
        const sent = performance.now();
        const find = { projectId: 'default', runId, key: `metric-${key}`, pageToken };
        const page = await metrics.history({ ...find, maxResults: 25_000 });
        pagesMs.push(performance.now() - sent);
        points += page.points.length;
        pageToken = page.nextPageToken;
      } while (pageToken !== undefined);
    }
  }
  return { points, pagesMs };
}

async function measureBatch(stores: Stores, batch: number): Promise<Figure[]> {
  const windows: Window[] = [];
  for (let i = 0; i < times; i++) {
    windows.push(await measure(stores, { batch, forS: windowS }));
    const { pointsPerSecond, cores } = windows[i] as Window;
    console.log(
      `batch ${batch}: ${Math.round(pointsPerSecond)} points/s, ${cores.toFixed(2)} cores`,
    );
  }
  const command = 'npm run bench -- ingest';
  const goal = batch === 1000 ? '≥ 100 000' : '';
  const rows: readonly [string, string, string, number[]][] = [
    ['metrics acknowledged', 'points/s', goal, windows.map((w) => w.pointsPerSecond)],
    ['metrics stored in ClickHouse', 'points/s', '', windows.map((w) => w.storedPerSecond)],
    ['acknowledgement', 'ms', '', windows.flatMap((w) => w.acksMs)],
    ['page of a history (≤ 25 000)', 'ms', '', windows.flatMap((w) => w.pagesMs)],
  ];
  return rows.map(([what, unit, of, samples]) => {
    return { what: `${what}, batch ${batch}`, unit, goal: of, samples, command };
  });
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'anneal-bench-'));
  const server = await startPostgres({ dataDir: join(folder, 'postgres') });
  const postgres = openPostgres(server.url);
  await migratePostgres(postgres);
  const clickhouse = openClickHouse({ path: join(folder, 'clickhouse') });
  await migrateClickHouse(clickhouse);
  const durability = options.durability as Durability;
  const wal = await openWal({ dir: join(folder, 'wal'), durability });
  const metrics = openMetrics({ wal, clickhouse, postgres });
  const stores = { metrics, postgres };
  await measure(stores, { batch: 1000, forS: WARM_UP_S });
  const figures: Figure[] = [];
  for (const batch of options.batch.split(',')) {
    figures.push(...(await measureBatch(stores, Number(batch))));
  }
  printRows(figures);
  await metrics.close();
  await clickhouse.close();
  await postgres.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
