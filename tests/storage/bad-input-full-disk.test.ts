import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnApi, type ApiProcess } from '../support/api';
import { callHttp, type HttpReply } from '../support/http';
import { createTestDatabase, type TestDatabase } from '../support/postgres';
import { fillDisk, onSmallDisks, seenBy } from '../support/small-disk';

const LARGE = randomBytes(3 * 1024 * 1024);
let db: TestDatabase;
let dataDir: string;
let api: ApiProcess;
let url: string;

beforeAll(async () => {
  db = await createTestDatabase();
  dataDir = mkdtempSync(join(tmpdir(), 'anneal-full-'));
  const disks = { [join(dataDir, 'wal')]: '2m', [join(dataDir, 'objects')]: '2m' };
  api = spawnApi({ databaseUrl: db.url, dataDir, within: onSmallDisks(disks) });
  const early = api.ended.then(({ stderr }) => Promise.reject(new Error(stderr)));
  url = await Promise.race([api.url, early]);
  early.catch(() => undefined);
});
afterAll(async () => {
  api.child.kill('SIGTERM');
  await api.ended;
  rmSync(dataDir, { recursive: true, force: true });
  await db.drop();
});

function post(path: string, body: unknown): Promise<HttpReply> {
  const headers = { 'content-type': 'application/json' };
  return callHttp(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
}
async function newRun(): Promise<string> {
  const body = { experiment_id: '0', start_time: 1 };
  const reply = await post('/api/2.0/mlflow/runs/create', body);
  return reply.json<{ run: { info: { run_id: string } } }>().run.info.run_id;
}
function logSteps(runId: string, from: number, count: number): Promise<HttpReply> {
  const metrics = Array.from({ length: count }, (_, i) => ({
    ...{ key: 'loss', value: (from + i) / 2, step: from + i, timestamp: 1 },
  }));
  return post('/api/2.0/mlflow/runs/log-batch', { run_id: runId, metrics });
}
function history(runId: string): Promise<HttpReply> {
  const query = `run_id=${runId}&metric_key=loss&max_results=25000`;
  return callHttp(`${url}/api/2.0/mlflow/metrics/get-history?${query}`);
}
function stepsOf(reply: HttpReply): number[] {
  expect([reply.status, reply.text]).toEqual([200, expect.stringContaining('metrics')]);
  return reply.json<{ metrics: { step: number }[] }>().metrics.map(({ step }) => step);
}
/** The files that stand on a disk of the api, but for what fills it. */
function filesOn(folder: string): string[] {
  const seen = seenBy(api.child.pid, join(dataDir, folder));
  const names = readdirSync(seen, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name !== 'filler' && statSync(join(seen, name)).isFile());
}
const ADVICE = 'Free space on the data disk; nothing acknowledged was lost.';

describe('a full disk', () => {
  it('refuses metrics, keeps all that were acknowledged and nothing else, and goes on', async () => {
    const runId = await newRun();
    const acknowledged: number[] = [];
    const disk = fillDisk(seenBy(api.child.pid, join(dataDir, 'wal')), 64 * 1024);
    let refusal: HttpReply | undefined;
    for (let from = 0; refusal === undefined; from += 500) {
      const reply = await logSteps(runId, from, 500);
      if (reply.status === 200) for (let i = 0; i < 500; i += 1) acknowledged.push(from + i);
      else refusal = reply;
    }
    // MLflow's clients wait and try again at 503, not at 507
    expect(refusal.status).toBe(503);
    expect(refusal.headers['retry-after']).toBe('2');
    expect(refusal.json()).toEqual({
      error_code: 'TEMPORARILY_UNAVAILABLE',
      message: `The disk of the write-ahead log is full. ${ADVICE}`,
    });
    expect(acknowledged.length).toBeGreaterThan(0);
    // what needs room to become readable waits for it: never a part, never a wrong answer
    const whileFull = await history(runId);
    const isWhole = whileFull.status === 200;
    if (isWhole) expect(stepsOf(whileFull)).toEqual(acknowledged);
    else expect([whileFull.status, whileFull.text]).toEqual([503, expect.stringContaining(ADVICE)]);
    disk.free();
    expect(stepsOf(await history(runId))).toEqual(acknowledged);
    expect((await logSteps(runId, 1_000_000, 1)).status).toBe(200);
    expect(stepsOf(await history(runId))).toEqual([...acknowledged, 1_000_000]);
  });

  it('refuses an upload through a signed URL, leaves no part of it, and takes it later', async () => {
    const digest = createHash('sha256').update(LARGE).digest('hex');
    const objects = [{ digest, sizeBytes: LARGE.length }];
    const planned = await post('/api/v1/objects/plan', { objects });
    type Plan = { uploads: { url: string; headers: Record<string, string> }[] };
    const [upload] = planned.json<Plan>().uploads;
    if (upload === undefined) throw new Error('nothing to upload');
    const call = { method: 'PUT', headers: upload.headers, body: LARGE } as const;
    const target = url + new URL(upload.url).pathname + new URL(upload.url).search;
    const reply = await callHttp(target, call);
    expect([reply.status, reply.json()]).toEqual([
      507,
      expect.objectContaining({
        ...{ code: 'STORAGE_FULL', advice: ADVICE },
        detail: 'The disk of the object store is full.',
      }),
    ]);
    expect(filesOn('objects')).toEqual([]);
    const small = await post('/api/v1/objects/plan', { objects });
    expect(small.json<Plan>().uploads).toHaveLength(1); // it is still missing
    const commit = { kind: 'model', manifest: [{ path: 'm', digest, sizeBytes: LARGE.length }] };
    expect((await post('/api/v1/artifacts', commit)).status).toBeGreaterThanOrEqual(400);
    expect(await db.postgres.query('SELECT * FROM artifacts')).toEqual([]);
  });

  it("refuses an artifact of a run as MLflow's clients send it, and lists nothing", async () => {
    const runId = await newRun();
    const put = (body: Buffer): Promise<HttpReply> => {
      const path = `/api/2.0/mlflow-artifacts/artifacts/0/${runId}/artifacts/model.bin`;
      return callHttp(url + path, { method: 'PUT', body });
    };
    const list = async (): Promise<unknown> => {
      const reply = await callHttp(`${url}/api/2.0/mlflow/artifacts/list?run_id=${runId}`);
      return reply.json<{ files?: unknown }>().files ?? [];
    };
    const reply = await put(LARGE);
    expect([reply.status, reply.json()]).toEqual([
      503,
      {
        error_code: 'TEMPORARILY_UNAVAILABLE',
        message: `The disk of the object store is full. ${ADVICE}`,
      },
    ]);
    expect([filesOn('objects'), await list()]).toEqual([[], []]);
    expect((await put(Buffer.from('small'))).status).toBe(200);
    expect(await list()).toEqual([{ path: 'model.bin', is_dir: false, file_size: 5 }]);
  });
});
