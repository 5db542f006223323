import { createHash } from 'node:crypto';
import { succeeded } from '../../pipelines/commits';
import { finishPipelineRun } from '../../pipelines/pipeline-runs';
import { recordTransitions } from '../../pipelines/transitions';
import type { Manifest } from '../../schemas/artifacts';
import type { AttemptTicket } from '../../schemas/attempts';
import type { StepSpec } from '../../schemas/plan';
import { createHttp, type Http } from '../../sdk/http';
import { claimWork } from '../../storage/postgres/step-claims';
import { plan, step } from '../support/plans';
import { openStepLab, type StepLab } from '../support/step-lab';

let lab: StepLab;
let node: Http;
beforeAll(async () => {
  lab = await openStepLab();
  node = createHttp({ baseUrl: lab.node.api, token: lab.node.token, retries: 0 });
});
afterAll(async () => {
  await lab.close();
});

async function newRun(extra: Partial<StepSpec> = {}): Promise<string> {
  return (await lab.begin(plan([step('train', extra)]))).runId;
}
interface Begun {
  readonly ticket: AttemptTicket;
  readonly self: Http;
}
async function begin(runId: string, attempt = 1): Promise<Begun> {
  const body = { runId, stepKey: 'train', attempt, node: 'n1' };
  const ticket = await node.post<AttemptTicket>('/api/v1/attempts', body);
  const self = createHttp({ baseUrl: lab.node.api, token: ticket.token, retries: 0 });
  return { ticket, self };
}
/** A manifest of one file whose bytes were uploaded. */
async function uploaded(self: Http, text: string): Promise<Manifest> {
  const digest = createHash('sha256').update(text).digest('hex');
  const object = { digest, sizeBytes: text.length };
  type Uploads = { uploads: { url: string; headers: Record<string, string> }[] };
  const { uploads } = await self.post<Uploads>('/api/v1/objects/plan', { objects: [object] });
  for (const { url, headers } of uploads) await fetch(url, { method: 'PUT', headers, body: text });
  return [{ path: 'state', ...object }];
}
const SELF = '/api/v1/attempts/self';
async function save(self: Http, name: string, text = name): Promise<void> {
  await self.post(`${SELF}/checkpoints`, { name, manifest: await uploaded(self, text) });
}
async function checkpointsOf(runId: string): Promise<string[]> {
  type Saved = { checkpoints: { name: string }[] };
  const answer = await lab.user.get<Saved>(`/api/v1/pipeline-runs/${runId}/checkpoints`);
  return answer.checkpoints.map(({ name }) => name);
}
const line = (seq: number, text: string): object => ({
  seq,
  text,
  stream: 'stdout',
  at: new Date(1_700_000_000_000 + seq).toISOString(),
});
const value: Partial<StepSpec> = { outputs: { n: { value: true } } };
const commit = (self: Http, n: number): Promise<{ outputs: unknown }> =>
  self.post(`${SELF}/commit`, { artifacts: {}, values: { n } });

describe('a step with a cache', () => {
  it('gives up its claim with its commit, and not before', async () => {
    const runId = await newRun({ ...value, cache: {} });
    const key = { projectId: 'default', runId, stepKey: 'train' };
    const { postgres } = lab.parts;
    await postgres.transaction((sql) => claimWork(sql, { ...key, contentKey: runId, seconds: 60 }));
    const claims = (): Promise<unknown[]> =>
      postgres.query('SELECT run_id FROM step_claims WHERE run_id = $1', [runId]);
    const { self } = await begin(runId);
    expect(await claims()).toHaveLength(1);
    await commit(self, 1);
    expect(await claims()).toEqual([]);
  });
});

describe('beginning an attempt', () => {
  it('may be repeated; the seed stays, also for the next attempt', async () => {
    const runId = await newRun();
    const first = await begin(runId);
    const again = await begin(runId);
    const next = await begin(runId, 2);
    expect(first.ticket.token).not.toBe(again.ticket.token);
    expect(new Set([first, again, next].map(({ ticket }) => ticket.seed)).size).toBe(1);
    expect((await begin(await newRun())).ticket.seed).not.toBe(first.ticket.seed);
  });

  it('is refused once a newer attempt has begun', async () => {
    const runId = await newRun();
    await begin(runId, 2);
    await expect(begin(runId, 1)).rejects.toMatchObject({ code: 'ATTEMPT_SUPERSEDED' });
  });

  it('is for nodes only, and a node cannot speak for an attempt', async () => {
    const runId = await newRun(value);
    const { self } = await begin(runId);
    const body = { runId, stepKey: 'train', attempt: 2, node: 'x' };
    for (const other of [lab.user, self]) {
      const refused = other.post('/api/v1/attempts', body);
      await expect(refused).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    }
    await expect(commit(node, 1)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    await expect(commit(lab.user, 1)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
  });

  it('of a step that is not there says so', async () => {
    await expect(begin('no-such-run')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('an attempt that was replaced', () => {
  it('can neither commit nor save, and changes nothing', async () => {
    const runId = await newRun(value);
    const old = await begin(runId);
    const manifest = await uploaded(old.self, 'late');
    const current = await begin(runId, 2);
    // its token may be remembered for five seconds: until then its number is what fences it
    const fenced = {
      code: expect.stringMatching(/^(ATTEMPT_SUPERSEDED|UNAUTHENTICATED)$/) as string,
    };
    await expect(commit(old.self, 1)).rejects.toMatchObject(fenced);
    const late = old.self.post(`${SELF}/checkpoints`, { name: 'late', manifest });
    await expect(late).rejects.toMatchObject(fenced);
    expect(await checkpointsOf(runId)).toEqual([]);
    expect(await commit(current.self, 2)).toEqual({ outputs: { n: { value: 2 } } });
  });
});

describe('a commit', () => {
  it('happens once: a repetition is told what was committed', async () => {
    const { self } = await begin(await newRun(value));
    expect(await commit(self, 1)).toEqual({ outputs: { n: { value: 1 } } });
    expect(await commit(self, 9)).toEqual({ outputs: { n: { value: 1 } } });
  });

  it('needs every declared output, and bytes that were uploaded', async () => {
    const { self } = await begin(await newRun({ outputs: { model: { kind: 'model' } } }));
    const nothing = self.post(`${SELF}/commit`, { artifacts: {}, values: {} });
    await expect(nothing).rejects.toMatchObject({ code: 'STEP_OUTPUT_MISSING' });
    const entry = { path: 'm', digest: 'ab'.repeat(32), sizeBytes: 1 };
    const absent = self.post(`${SELF}/commit`, { artifacts: { model: [entry] }, values: {} });
    await expect(absent).rejects.toMatchObject({ code: 'CONFLICT' });
    const manifest = await uploaded(self, 'weights');
    const done = await self.post(`${SELF}/commit`, { artifacts: { model: manifest }, values: {} });
    expect(done).toMatchObject({ outputs: { model: { kind: 'model' } } });
  });

  it('refuses a plain output above 64 KiB and a metric that nobody logged', async () => {
    const big = await begin(await newRun(value));
    const body = { artifacts: {}, values: { n: 'x'.repeat(65_600) } };
    const refused = big.self.post(`${SELF}/commit`, body);
    await expect(refused).rejects.toMatchObject({ code: 'TOO_LARGE' });
    const { self } = await begin(
      await newRun({ outputs: { auc: { metric: 'auc', pick: 'max' } } }),
    );
    const none = self.post(`${SELF}/commit`, { artifacts: {}, values: {} });
    await expect(none).rejects.toMatchObject({ code: 'STEP_OUTPUT_MISSING' });
  });
});

describe('checkpoints', () => {
  it('are kept up to the number the step asks for; the newest is what a new attempt gets', async () => {
    const runId = await newRun({ checkpoint: { keep: 2, graceSeconds: 1 } });
    const { self, ticket } = await begin(runId);
    expect(ticket.resume).toBeNull();
    for (const name of ['s1', 's2', 's3']) await save(self, name);
    await save(self, 's3'); // a repetition
    expect(await checkpointsOf(runId)).toEqual(['s2', 's3']);
    expect((await begin(runId, 2)).ticket.resume).toMatchObject({ name: 's3' });
  });

  it('under a name that is used again are newer ones', async () => {
    const runId = await newRun();
    const { self } = await begin(runId);
    await save(self, 'last', 'one');
    await save(self, 'best', 'two');
    await save(self, 'last', 'three');
    expect(await checkpointsOf(runId)).toEqual(['best', 'last']);
  });

  it('that cannot be used give way to older ones, then to none', async () => {
    const runId = await newRun();
    const first = await begin(runId);
    await save(first.self, 's1');
    await save(first.self, 's2');
    const { self, ticket } = await begin(runId, 2);
    const unusable = [ticket.resume?.download.artifactId ?? ''];
    type Older = Pick<AttemptTicket, 'resume'>;
    const { resume } = await self.post<Older>(`${SELF}/older-checkpoint`, { unusable });
    expect(resume).toMatchObject({ name: 's1' });
    unusable.push(resume?.download.artifactId ?? '');
    expect(await self.post(`${SELF}/older-checkpoint`, { unusable })).toEqual({ resume: null });
    type Attempts = { attempts: { resumedFrom: string | null }[] };
    const { attempts } = await lab.user.get<Attempts>(`/api/v1/pipeline-runs/${runId}/attempts`);
    expect(attempts[1]?.resumedFrom).toBeNull();
  });

  it('are valid only with all of their bytes', async () => {
    const { self } = await begin(await newRun());
    const manifest = [{ path: 'state', digest: 'cd'.repeat(32), sizeBytes: 3 }];
    const refused = self.post(`${SELF}/checkpoints`, { name: 's1', manifest });
    await expect(refused).rejects.toMatchObject({ code: 'CONFLICT' });
  });
});

describe('log lines', () => {
  it('arrive once, however often they are sent, and come in pages', async () => {
    const runId = await newRun();
    const { self } = await begin(runId);
    const lines = [line(0, 'a'), line(1, 'b\u0000'), line(2, 'c')];
    await self.post(`${SELF}/logs`, { lines: lines.slice(0, 2) });
    await self.post(`${SELF}/logs`, { lines });
    type Page = { lines: { text: string }[]; next: string };
    const path = `/api/v1/pipeline-runs/${runId}/logs?step=train&limit=2`;
    const page = await lab.user.get<Page>(path);
    expect(page.lines.map(({ text }) => text)).toEqual(['a', 'b\uFFFD']);
    const rest = await lab.user.get<Page>(`${path}&after=${page.next}`);
    expect(rest.lines.map(({ text }) => text)).toEqual(['c']);
  });

  it('of a slow step are not missed by who has read a quicker one', async () => {
    const given = plan([step('train'), step('other')]);
    const { runId } = await lab.begin(given);
    const { self } = await begin(runId);
    const other = await node.post<AttemptTicket>('/api/v1/attempts', {
      runId,
      stepKey: 'other',
      attempt: 1,
      node: 'n2',
    });
    await self.post(`${SELF}/logs`, { lines: [line(5, 'quick')] });
    type Page = { lines: { text: string }[]; next: string };
    const path = `/api/v1/pipeline-runs/${runId}/logs`;
    const { next } = await lab.user.get<Page>(path);
    const slow = createHttp({ baseUrl: lab.node.api, token: other.token });
    await slow.post(`${SELF}/logs`, { lines: [line(0, 'slow')] }); // written earlier, sent later
    const rest = await lab.user.get<Page>(`${path}?after=${next}`);
    expect(rest.lines.map(({ text }) => text)).toEqual(['slow']);
  });
});

describe('the token of an attempt whose step has ended', () => {
  async function secondsLeft(runId: string): Promise<number[]> {
    const rows = await lab.db.postgres.query<{ left: number }>(
      `SELECT extract(epoch FROM expires_at - now())::float8 AS left
       FROM tokens WHERE pipeline_run_id = $1 AND revoked_at IS NULL`,
      [runId],
    );
    return rows.map(({ left }) => left);
  }

  it('is valid for a minute after the commit: for its repetition and the last lines', async () => {
    const runId = await newRun(value);
    const { self } = await begin(runId);
    expect((await secondsLeft(runId))[0]).toBeGreaterThan(3_600);
    await commit(self, 1);
    expect((await secondsLeft(runId))[0]).toBeLessThanOrEqual(60);
    await self.post(`${SELF}/logs`, { lines: [line(0, 'last')] });
    expect(await commit(self, 2)).toEqual({ outputs: { n: { value: 1 } } });
  });

  it.each(['failed', 'cancelled'] as const)('is taken no more once it has %s', async (status) => {
    const runId = await newRun();
    const { self } = await begin(runId);
    const attempt = { projectId: 'default', runId, stepKey: 'train', attempt: 1 };
    const transitions = [{ ...succeeded(attempt), state: status, status }];
    await recordTransitions(lab.parts, { projectId: 'default', runId, transitions });
    await expect(self.post(`${SELF}/logs`, { lines: [] })).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
  });

  it('is valid for a minute at most once its run is over, however that came', async () => {
    const runId = await newRun();
    await begin(runId);
    await finishPipelineRun(lab.parts, { projectId: 'default', runId, status: 'cancelled' });
    expect((await secondsLeft(runId))[0]).toBeLessThanOrEqual(60);
  });
});
