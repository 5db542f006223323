import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { openClickHouse } from '../../storage/clickhouse/client';
import { migrateClickHouse } from '../../storage/clickhouse/migrate';
import { openPostgres } from '../../storage/postgres/client';
import { openWal } from '../../storage/wal/wal';
import { openMetrics } from '../../tracker/metrics';
import { point } from './metrics-points';

/** A test that ended without killing it leaves nothing behind. */
const LIFETIME_MS_MAX = 30_000;

/**
 * A process that takes metrics until somebody kills it: `node metrics-child.ts FOLDER URL RUN FROM`.
 * Each acknowledged batch is a line `first count`; steps begin at FROM and never repeat.
 */
async function main(): Promise<void> {
  setTimeout(() => process.exit(3), LIFETIME_MS_MAX).unref();
  const [folder = '', url = '', runId = '', from = '0'] = process.argv.slice(2);
  const clickhouse = openClickHouse({ path: join(folder, 'clickhouse') });
  await migrateClickHouse(clickhouse);
  const wal = await openWal({ dir: join(folder, 'wal'), durability: 'fsync' });
  const metrics = openMetrics({ wal, clickhouse, postgres: openPostgres(url) });
  let step = Number(from);
  const client = async (): Promise<never> => {
    for (;;) {
      const first = step;
      const count = 1 + (first % 150);
      step += count;
      const points = Array.from({ length: count }, (_, i) => point({ step: first + i, value: i }));
      await metrics.append({ projectId: 'default', runId, attempt: 0, points });
      process.stdout.write(`${first} ${count}\n`);
    }
  };
  const reader = async (): Promise<never> => {
    for (;;) {
      await pause(20);
      await metrics.settle(); // makes blocks much faster than the clock would
    }
  };
  await Promise.all([client(), client(), client(), reader()]);
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
