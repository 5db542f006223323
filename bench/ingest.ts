/**
 * How fast metrics are acknowledged and stored, on the embedded stores, in one process:
 *   node --require esbuild-register bench/ingest.ts [--seconds 10] [--clients 8] [--batch 1000]
 *     [--keys 10] [--durability fsync] [--json FILE]
 * Clients append in a closed loop; a point counts when it was acknowledged inside the window. Then
 * everything is read back and compared by count. The load generator shares the machine's cores.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../dev/postgres';
import { openClickHouse } from '../storage/clickhouse/client';
import { migrateClickHouse } from '../storage/clickhouse/migrate';
import { openPostgres } from '../storage/postgres/client';
import { migratePostgres } from '../storage/postgres/migrate';
import { openWal, type Durability } from '../storage/wal/wal';
import { openMetrics, type Metrics } from '../tracker/metrics';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    clients: { type: 'string', default: '8' },
    batch: { type: 'string', default: '1000' },
    keys: { type: 'string', default: '10' },
    durability: { type: 'string', default: 'fsync' },
    json: { type: 'string' },
  },
});
const seconds = Number(options.seconds);
const clients = Number(options.clients);
const batch = Number(options.batch);
const keys = Number(options.keys);

interface Result {
  readonly acknowledged: number;
  readonly latenciesMs: readonly number[];
  readonly wallS: number;
}

async function load(metrics: Metrics, runIds: readonly string[]): Promise<Result> {
  const latenciesMs: number[] = [];
  let acknowledged = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  await Promise.all(
    runIds.map(async (runId) => {
      for (let step = 0; performance.now() < end;) {
        const points = Array.from({ length: batch }, (_, i) => ({
          key: `metric-${i % keys}`,
          value: Math.random(),
          step: step + Math.floor(i / keys),
          timestampMs: 1_760_000_000_000 + step,
        }));
        step += Math.ceil(batch / keys);
        const sent = performance.now();
        await metrics.append({ projectId: 'default', runId, attempt: 0, points });
        latenciesMs.push(performance.now() - sent);
        acknowledged += points.length;
      }
    }),
  );
  return { acknowledged, latenciesMs, wallS: (performance.now() - start) / 1000 };
}

/** Pages through every series; returns points and the latency of each page. */
async function readBack(
  metrics: Metrics,
  runIds: readonly string[],
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

function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return Number((sorted[Math.floor(q * (sorted.length - 1))] ?? NaN).toFixed(2));
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
  const runIds = Array.from({ length: clients }, () => crypto.randomUUID().replaceAll('-', ''));
  for (const runId of runIds) {
    await postgres.query(
      `INSERT INTO runs (project_id, id, experiment_id, name, status, started_ms, artifact_uri)
      VALUES ('default', $1, 0, 'bench', 'RUNNING', 0, '')`,
      [runId],
    );
  }
  const before = process.cpuUsage();
  const { acknowledged, latenciesMs, wallS } = await load(metrics, runIds);
  const used = process.cpuUsage(before);
  const drain = performance.now();
  await metrics.settle();
  const drainMs = performance.now() - drain;
  const { points, pagesMs } = await readBack(metrics, runIds);
  const result = {
    pointsPerSecond: Math.round(acknowledged / wallS),
    ackP50Ms: quantile(latenciesMs, 0.5),
    ackP95Ms: quantile(latenciesMs, 0.95),
    ackP99Ms: quantile(latenciesMs, 0.99),
    drainMs: Math.round(drainMs),
    cpuSeconds: Number(((used.user + used.system) / 1e6).toFixed(1)),
    historyPageP50Ms: quantile(pagesMs, 0.5),
    historyPageP99Ms: quantile(pagesMs, 0.99),
    acknowledged,
    readBack: points,
    rssMiB: Math.round(process.memoryUsage.rss() / 1024 / 1024),
  };
  const setup = { seconds, clients, batch, keys, durability, cpus: cpus().length };
  console.table(result);
  const json = JSON.stringify({ setup, result }, undefined, 2);
  console.log(json);
  if (options.json !== undefined) writeFileSync(options.json, json);
  await metrics.close();
  await clickhouse.close();
  await postgres.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
  if (points !== acknowledged) throw new Error(`${acknowledged} acknowledged, ${points} read back`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
