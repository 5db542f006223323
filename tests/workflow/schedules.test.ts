import type { FastifyInstance } from 'fastify';
import { createApp } from '../../api/app';
import { registerPipelineRuns } from '../../api/routes/v1/pipeline-runs';
import { registerSchedules } from '../../api/routes/v1/schedules';
import { USER_PERMISSIONS } from '../../api/auth/permissions';
import { listPipelineRuns } from '../../pipelines/pipeline-runs';
import type { PipelineRun } from '../../schemas/pipeline-runs';
import type { Schedule } from '../../schemas/schedules';
import { listAudit } from '../../storage/postgres/audit';
import { callHttp, type HttpReply } from '../support/http';
import { plan, step } from '../support/plans';
import { until } from '../support/step-lab';
import { openWorkflowLab, untilAborted, type WorkflowLab } from '../support/workflow-lab';

const projectId = 'default';
let base: string;
let lab: WorkflowLab;
let app: FastifyInstance;
beforeAll(async () => {
  lab = await openWorkflowLab();
  app = await createApp({
    authenticate: () => {
      const who = { kind: 'user', name: 'ada', permissions: USER_PERMISSIONS } as const;
      return Promise.resolve({ ...who, projectId });
    },
    routes: (routes) => {
      const deps = lab.parts;
      registerPipelineRuns(routes, deps);
      registerSchedules(routes, deps);
    },
  });
  base = `${await app.listen({ host: '127.0.0.1', port: 0 })}/api/v1`;
});
afterAll(async () => {
  await app.close();
  await lab.close();
});
beforeEach(() => {
  lab.bodies = {};
});

function call(method: string, path: string, body?: object): Promise<HttpReply> {
  const headers = { 'content-type': 'application/json' };
  const text = body === undefined ? {} : { headers, body: JSON.stringify(body) };
  return callHttp(`${base}${path}`, { method, ...text });
}
async function show(name: string): Promise<Schedule> {
  return (await call('GET', `/schedules/${name}`)).json<Schedule>();
}
/** A year away unless told otherwise, so that only what the test asks for happens. */
async function put(name: string, extra: object = {}): Promise<Schedule> {
  const params = { word: { type: 'string' } } as const;
  const given = { cron: '0 3 1 1 *', plan: plan([step('a')], params), params: { word: 'x' } };
  const reply = await call('PUT', `/schedules/${name}`, { ...given, ...extra });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return reply.json<Schedule>();
}
async function runsOf(name: string): Promise<PipelineRun[]> {
  const list = { projectId, status: undefined, pipeline: undefined, after: undefined, limit: 200 };
  const { runs } = await listPipelineRuns(lab.database, list);
  return runs.filter(({ id }) => id.startsWith(`${name}-2`));
}
const hasStatus = async (name: string, status: string, count = 1): Promise<boolean> =>
  (await runsOf(name)).filter((run) => run.status === status).length === count;

describe('a schedule', () => {
  it('starts a run of its plan whenever it is time', async () => {
    await put('often', { cron: undefined, everySeconds: 1 });
    await until(async () => (await runsOf('often')).some((run) => run.status === 'succeeded'));
    const [run] = await runsOf('often');
    expect(run).toMatchObject({ pipeline: 'test', params: { word: 'x' } });
    expect(run?.id).toMatch(/^often-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    await until(async () => (await show('often')).runs.some((one) => one.status === 'succeeded'));
    expect((await call('DELETE', '/schedules/often')).status).toBe(204);
    expect((await call('GET', '/schedules/often')).status).toBe(404);
    expect((await call('GET', `/pipeline-runs/${run?.id ?? ''}`)).status).toBe(200); // it stays
  });

  it('tells its next five times in its own time zone', async () => {
    const shown = await put('zoned', { cron: '30 9 * * *', timezone: 'Asia/Tokyo' });
    expect(shown).toMatchObject({ isPaused: false, isKnown: true, overlap: 'skip', runs: [] });
    expect(shown).toMatchObject({ catchUpSeconds: 3600, params: { word: 'x' } });
    expect(shown.next.map((at) => at.slice(10))).toEqual(Array(5).fill('T00:30:00.000Z'));
    const days = shown.next.map((at) => Date.parse(at) / 86_400_000);
    expect(days.slice(1).map((day, i) => Math.round((day - (days[i] ?? 0)) * 1000))).toEqual([
      ...[1000, 1000, 1000, 1000],
    ]);
  });

  it('is replaced under its name and stays paused unless told', async () => {
    await put('changing', { paused: true, note: 'not yet', jitterSeconds: 5 });
    const before = await show('changing');
    expect(before).toMatchObject({ isPaused: true, note: 'not yet', jitterSeconds: 5 });
    const after = await put('changing', { cron: '0 4 1 1 *' });
    expect(after).toMatchObject({ isPaused: true, note: 'not yet', jitterSeconds: 0 });
    expect(after.next[0]).toMatch(/-01-01T04:00:00/);
    const going = await call('POST', '/schedules/changing/unpause', { note: 'go' });
    expect(going.json<Schedule>()).toMatchObject({ isPaused: false, note: 'go' });
    const held = await call('POST', '/schedules/changing/pause');
    expect(held.json<Schedule>()).toMatchObject({ isPaused: true, note: 'paused' });
    const subject = 'schedule/changing';
    const audit = await listAudit(lab.database.postgres, { projectId, subject, limit: 10 });
    expect(audit.map(({ actor, action }) => `${actor} ${action}`)).toEqual([
      'ada schedule.pause',
      'ada schedule.unpause',
      'ada schedule.put',
      'ada schedule.put',
    ]);
  });

  it('is triggered now, and skips what comes while its run goes on', async () => {
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    lab.bodies = { a: () => opened.then(() => ({})) };
    await put('single');
    await call('POST', '/schedules/single/trigger');
    await until(() => hasStatus('single', 'running'));
    await call('POST', '/schedules/single/trigger');
    const skipped = async (): Promise<number> => {
      const handle = lab.env.client.schedule.getHandle('schedule/default/single');
      return (await handle.describe()).info.numActionsSkippedOverlap;
    };
    await until(async () => (await skipped()) === 1);
    expect(await runsOf('single')).toHaveLength(1);
    open();
    await until(() => hasStatus('single', 'succeeded'));
  });

  it('cancels the run before it, if that is its policy', async () => {
    let isFirst = true;
    lab.bodies = {
      a: async (_input, signal) => {
        if (!isFirst) return {};
        isFirst = false;
        await untilAborted(signal);
        throw new Error('stopped');
      },
    };
    await put('latest', { overlap: 'cancel-other' });
    await call('POST', '/schedules/latest/trigger');
    await until(() => hasStatus('latest', 'running'));
    const [first] = await runsOf('latest');
    const second = Date.parse(first?.id.slice('latest-'.length) ?? '') + 1000;
    await until(() => Date.now() > second); // a second has one run
    await call('POST', '/schedules/latest/trigger');
    await until(() => hasStatus('latest', 'succeeded'));
    expect(await hasStatus('latest', 'cancelled')).toBe(true);
  });

  it('makes up for the past, each time once', async () => {
    await put('past', { cron: '0 3 * * *' });
    const times = { from: '2025-03-01T00:00:00Z', to: '2025-03-04T00:00:00Z' };
    const filled = await call('POST', '/schedules/past/backfill', times);
    expect([filled.status, filled.json()]).toEqual([200, { runs: 3 }]);
    await until(() => hasStatus('past', 'succeeded', 3));
    const ids = [
      'past-2025-03-01T03:00:00Z',
      'past-2025-03-02T03:00:00Z',
      'past-2025-03-03T03:00:00Z',
    ];
    const first = await runsOf('past');
    expect(first.map(({ id }) => id).sort()).toEqual(ids);
    await call('POST', '/schedules/past/backfill', { ...times, to: '2025-03-05T00:00:00Z' });
    await until(() => hasStatus('past', 'succeeded', 4));
    const ended = (runs: readonly PipelineRun[]): unknown[] =>
      runs.filter(({ id }) => ids.includes(id)).map((run) => run.endedAt);
    expect(ended(await runsOf('past'))).toEqual(ended(first)); // those stayed as they were
  });
});

describe('what no schedule can be', () => {
  it.each([
    ['a bad cron', { cron: 'every day' }, /Temporal refuses the schedule: .*cron/i],
    ['a bad time zone', { timezone: 'Mars/Olympus' }, /Temporal refuses the schedule: .*Mars/],
    ['two clocks', { everySeconds: 5 }, /^Give exactly one of 'cron' and 'everySeconds'\.$/],
    ['no clock', { cron: undefined }, /^Give exactly one of 'cron' and 'everySeconds'\.$/],
    ['no plan', { plan: undefined }, /exactly one of 'plan' and 'planId'/],
    ['wrong params', { params: { nope: 1 } }, /nope/],
  ])('is refused with the reason: %s', async (_what, extra, says) => {
    const given = { cron: '0 3 * * *', plan: plan([step('a')]), ...extra };
    const reply = await call('PUT', '/schedules/bad', given);
    expect([reply.status, reply.json<{ detail: string }>().detail]).toEqual([
      400,
      expect.stringMatching(says),
    ]);
    expect((await call('GET', '/schedules/bad')).status).toBe(404);
  });

  it('refuses times that make no sense, and too many', async () => {
    await put('minutes', { cron: '* * * * *', paused: true });
    const fill = async (from: string, to: string): Promise<unknown[]> => {
      const reply = await call('POST', '/schedules/minutes/backfill', { from, to });
      return [reply.status, reply.json<{ detail: string }>().detail];
    };
    expect(await fill('2025-01-02T00:00:00Z', '2025-01-01T00:00:00Z')).toEqual([
      ...[400, "'from' must be before 'to'."],
    ]);
    expect(await fill('2025-01-02T00:00:00Z', '2999-01-01T00:00:00Z')).toEqual([
      ...[400, "'to' must not be in the future."],
    ]);
    expect(await fill('2025-01-01T00:00:00Z', '2025-01-02T00:00:00Z')).toEqual([
      ...[400, expect.stringMatching(/^That would be more than 500 runs/)],
    ]);
    expect((await call('POST', '/schedules/nobody/trigger')).status).toBe(404);
  });
});

it('lists schedules by name, page by page, also those that Temporal has lost', async () => {
  await put('list-a');
  await put('list-b');
  await lab.env.client.schedule.getHandle('schedule/default/list-a').delete();
  type Page = { schedules: Schedule[]; next: string | null };
  const first = (await call('GET', '/schedules?after=list&limit=1')).json<Page>();
  expect(first).toMatchObject({ schedules: [{ name: 'list-a', isKnown: false }], next: 'list-a' });
  const second = (await call('GET', '/schedules?after=list-a&limit=1')).json<Page>();
  expect(second.schedules).toMatchObject([{ name: 'list-b', isKnown: true }]);
  const gone = await call('POST', '/schedules/list-a/pause');
  expect([gone.status, gone.text]).toEqual([404, expect.stringContaining('put it again')]);
  expect((await call('DELETE', '/schedules/list-a')).status).toBe(204);
});
