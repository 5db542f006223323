import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openClickHouse } from '../../storage/clickhouse/client';
import { selectLatestMetrics } from '../../storage/postgres/metrics';
import { openWal } from '../../storage/wal/wal';
import { openMetrics } from '../../tracker/metrics';
import { insertRun } from '../support/metrics';
import { createTestDatabase } from '../support/postgres';
import { seeded } from '../support/sim-disk';

/** More rounds find rarer moments: ANNEAL_TEST_LONG=1 takes about five minutes. */
const ROUNDS = process.env['ANNEAL_TEST_LONG'] === '1' ? 120 : 6;
const ROOT = join(__dirname, '..', '..');
const CHILD = join(ROOT, 'tests', 'support', 'metrics-child.ts');
const STEPS_PER_ROUND = 10_000_000;

interface Acknowledged {
  readonly first: number;
  readonly count: number;
}

/** Runs a process that takes metrics, kills it at some moment of its work, returns its answers. */
async function killOne(args: readonly string[], aliveMs: number): Promise<Acknowledged[]> {
  const child = spawn(process.execPath, ['--require', 'esbuild-register', CHILD, ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  child.stdout.on('data', (chunk: Buffer) => {
    if (out === '') setTimeout(() => child.kill('SIGKILL'), aliveMs);
    out += chunk.toString();
  });
  await new Promise((resolve) => child.once('close', resolve));
  expect({ signal: child.signalCode, err }).toEqual({ signal: 'SIGKILL', err: '' });
  const lines = out.split('\n').slice(0, -1); // the last line may be torn
  return lines.map((line) => {
    const [first, count] = line.split(' ').map(Number);
    return { first: first ?? NaN, count: count ?? NaN };
  });
}

describe('metrics of a process that is killed again and again', () => {
  it(
    'stores everything acknowledged exactly once',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'anneal-kill-'));
      const { postgres, url, drop } = await createTestDatabase();
      const runId = await insertRun(postgres);
      const random = seeded(1);
      const acknowledged: Acknowledged[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const from = String(round * STEPS_PER_ROUND);
        const aliveMs = Math.floor(random() * 1_200);
        acknowledged.push(...(await killOne([folder, url, runId, from], aliveMs)));
      }
      const clickhouse = openClickHouse({ path: join(folder, 'clickhouse') });
      const wal = await openWal({ dir: join(folder, 'wal'), durability: 'fsync' });
      const metrics = openMetrics({ wal, clickhouse, postgres });
      await metrics.settle();

      const stored = await clickhouse.query<{ step: number | string; times: number | string }>(
        'SELECT step, count() AS times FROM metrics FINAL GROUP BY step ORDER BY step',
      );
      const steps = new Map(stored.map((row) => [Number(row.step), Number(row.times)]));
      const expected = acknowledged.flatMap(({ first, count }) =>
        Array.from({ length: count }, (_, i) => first + i),
      );
      expect(expected.length).toBeGreaterThan(ROUNDS * 10);
      expect(expected.filter((step) => steps.get(step) !== 1)).toEqual([]);
      expect([...steps].filter(([, times]) => times !== 1)).toEqual([]);
      // the newest point in Postgres is the newest that ClickHouse has
      const latest = await selectLatestMetrics(postgres, { projectId: 'default', runIds: [runId] });
      expect(latest.map((one) => one.step)).toEqual([[...steps.keys()].at(-1)]);

      await metrics.close();
      await clickhouse.close();
      await drop();
      rmSync(folder, { recursive: true, force: true });
    },
    ROUNDS * 10_000,
  );
});
