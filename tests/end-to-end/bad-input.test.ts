import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReadyStack } from '../../dev/main';
import type { Plan } from '../../schemas/plan';
import type { PipelineRun, Step } from '../../schemas/pipeline-runs';
import { buildOnce, eventually, startDev, type DevProcess } from '../support/dev-stack';
import { callHttp, type HttpReply } from '../support/http';
import { plan, step } from '../support/plans';
import { fillDisk, onSmallDisks, seenBy } from '../support/small-disk';

let dataDir: string;
let dev: DevProcess;
let stack: ReadyStack;

jest.setTimeout(180_000);
beforeAll(async () => {
  buildOnce();
  dataDir = mkdtempSync(join(tmpdir(), 'anneal-e2e-bad-'));
  const disks = {
    [dataDir]: '400m',
    [join(dataDir, 'node')]: '64m', // steps have room while the stores have none
    [join(dataDir, 'api/objects')]: '8m', // three outputs of the test below do not fit
  };
  dev = startDev(['--data', dataDir, '--port', '0'], {}, onSmallDisks(disks));
  stack = await dev.ready;
});
afterAll(async () => {
  dev.child.kill('SIGTERM');
  await dev.ended;
  rmSync(dataDir, { recursive: true, force: true });
});

function send(method: string, path: string, body?: unknown): Promise<HttpReply> {
  const headers = { 'content-type': 'application/json' };
  if (body === undefined) return callHttp(stack.api + path, { method });
  return callHttp(stack.api + path, { method, headers, body: JSON.stringify(body) });
}
const start = (body: { plan: Plan }): Promise<HttpReply> =>
  send('POST', '/api/v1/pipeline-runs', body);
async function endOf(id: string): Promise<PipelineRun> {
  let run: PipelineRun | undefined;
  await eventually(`${id} ends`, async () => {
    run = (await send('GET', `/api/v1/pipeline-runs/${id}`)).json<PipelineRun>();
    return run.endedAt !== null;
  });
  if (run === undefined) throw new Error('unseen');
  return run;
}
const disk = (folder: string): string => seenBy(dev.child.pid, join(dataDir, folder));
async function read<T>(path: string): Promise<T> {
  return (await send('GET', path)).json<T>();
}
const FULL = 'Free space on the data disk; nothing acknowledged was lost.';
/** Why an upload fails, in the words that a person reads in a log or at a step. */
const NO_ROOM = `was refused (507): The disk of the object store is full. ${FULL}`;

describe('a full disk of the object store', () => {
  it('costs a running step no checkpoint and no output: it goes on when there is room', async () => {
    const gates = mkdtempSync(join(tmpdir(), 'anneal-gates-'));
    chmodSync(gates, 0o755);
    const gate = (name: string): string => join(gates, name);
    const script = `
      save() { head -c 1000000 /dev/urandom > .$1; mv .$1 "$ANNEAL_CHECKPOINT_DIR/$1"; }
      pass() { while [ ! -e "$1" ]; do sleep 0.1; done; }
      save c1; pass ${gate('one')}; save c2; pass ${gate('two')}
      head -c 3000000 /dev/urandom > "$ANNEAL_OUTPUT_DIR/model"`;
    const train = step('train', {
      argv: ['sh', '-ec', script],
      outputs: { model: { kind: 'model' } },
      checkpoint: { keep: 2, graceSeconds: 5 },
    });
    const { id } = (await start({ plan: plan([train]) })).json<PipelineRun>();
    const path = `/api/v1/pipeline-runs/${id}`;
    type Saved = { checkpoints: { name: string }[] };
    const saved = async (): Promise<string[]> =>
      (await read<Saved>(`${path}/checkpoints`)).checkpoints.map(({ name }) => name);
    await eventually('c1 is safe', async () => (await saved()).includes('c1'));
    const filler = fillDisk(disk('api/objects'));
    writeFileSync(gate('one'), '');
    await eventually('the log tells of c2', async () =>
      (await send('GET', `${path}/logs`)).text.includes(
        `c2 was not saved: The upload of c2 ${NO_ROOM}`,
      ),
    );
    writeFileSync(gate('two'), '');
    const state = async (): Promise<Step | undefined> =>
      (await read<{ steps: Step[] }>(`${path}/steps`)).steps[0];
    await eventually('the step is tried again', async () =>
      Boolean((await state())?.reason?.includes(`The upload of model ${NO_ROOM}`)),
    );
    expect(await state()).toMatchObject({ outputs: null, endedAt: null });
    expect(await saved()).toEqual(['c1']); // what was safe still is
    filler.free();
    expect(await endOf(id)).toMatchObject({ status: 'succeeded' });
    const output = (await state())?.outputs?.['model'];
    const artifact = output !== undefined && 'artifact' in output ? output.artifact : '';
    type Files = { files: { sizeBytes: number }[] };
    const { files } = await read<Files>(`/api/v1/artifacts/${artifact}`);
    expect(files.map(({ sizeBytes }) => sizeBytes)).toEqual([3_000_000]);
    rmSync(gates, { recursive: true });
  });
});

/** Sends it until it is refused; the answers that it got before. */
async function untilRefused(
  call: (i: number) => Promise<HttpReply>,
): Promise<{ readonly taken: readonly HttpReply[]; readonly refusal: HttpReply }> {
  const taken: HttpReply[] = [];
  for (let i = 0; i < 200; i += 1) {
    const reply = await call(i);
    if (reply.status >= 400) return { taken, refusal: reply };
    taken.push(reply);
  }
  throw new Error('the disk was never full');
}

describe('a full disk of the whole stack', () => {
  it('refuses starts and metrics with what to do, keeps all it took, and goes on', async () => {
    const create = { experiment_id: '0', start_time: 1 };
    const made = await send('POST', '/api/2.0/mlflow/runs/create', create);
    const runId = made.json<{ run: { info: { run_id: string } } }>().run.info.run_id;
    const logMetrics = (from: number): Promise<HttpReply> => {
      const metrics = Array.from({ length: 1_000 }, (_, i) => ({
        ...{ key: 'loss', value: i, step: from + i, timestamp: 1 },
      }));
      return send('POST', '/api/2.0/mlflow/runs/log-batch', { run_id: runId, metrics });
    };
    expect((await logMetrics(0)).status).toBe(200);
    const filler = fillDisk(disk(''));

    const starts = await untilRefused(() => {
      const random = randomBytes(700_000).toString('hex'); // no database packs it well
      return start({ plan: plan([step('a', { argv: ['true', random] })]) });
    });
    expect([starts.refusal.status, starts.refusal.json()]).toEqual([
      507,
      expect.objectContaining({ code: 'STORAGE_FULL', advice: FULL }),
    ]);
    const batches = await untilRefused((i) => logMetrics(1_000 * (i + 1)));
    expect([batches.refusal.status, batches.refusal.json()]).toEqual([
      503,
      expect.objectContaining({ message: expect.stringContaining(FULL) as string }),
    ]);

    filler.free();
    await eventually('every part answers', async () => {
      const { parts } = await read<{ parts: { ok: boolean }[] }>('/api/v1/status');
      return parts.every(({ ok }) => ok);
    });
    const after = await start({ plan: plan([step('a')]) });
    for (const reply of [...starts.taken, after]) {
      const { id } = reply.json<PipelineRun>();
      expect(await endOf(id)).toMatchObject({ status: 'succeeded' });
    }
    const query = `run_id=${runId}&metric_key=loss&max_results=25000`;
    type Points = { metrics: { step: number }[] };
    const { metrics } = await read<Points>(`/api/2.0/mlflow/metrics/get-history?${query}`);
    const acknowledged = Array.from({ length: 1_000 * (1 + batches.taken.length) }, (_, i) => i);
    expect(metrics.map((point) => point.step)).toEqual(acknowledged);
  });
});

describe('a Temporal that hangs', () => {
  it('refuses a start with what to do, and goes on as if nothing had been', async () => {
    type Runs = { runs: PipelineRun[] };
    const before = (await read<Runs>('/api/v1/pipeline-runs')).runs;
    const temporal = stack.pids['temporal'] ?? 0;
    process.kill(temporal, 'SIGSTOP');
    try {
      const reply = await start({ plan: plan([step('a')]) });
      expect([reply.status, reply.headers['retry-after'], reply.json()]).toEqual([
        ...[503, '2'],
        expect.objectContaining({
          ...{ code: 'TEMPORAL_UNAVAILABLE', detail: 'Temporal did not answer within 5 s.' },
          advice: 'Start Temporal or check TEMPORAL_ADDRESS, then send it again.',
        }),
      ]);
      expect((await read<Runs>('/api/v1/pipeline-runs')).runs).toEqual(before);
    } finally {
      process.kill(temporal, 'SIGCONT');
    }
    const { id } = (await start({ plan: plan([step('a')]) })).json<PipelineRun>();
    expect(await endOf(id)).toMatchObject({ status: 'succeeded' });
    const { runs } = await read<Runs>('/api/v1/pipeline-runs');
    expect(runs.map((run) => run.id)).toEqual([id, ...before.map((run) => run.id)]);
  });
});
