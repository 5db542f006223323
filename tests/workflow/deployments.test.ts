import type { DeployedPipeline } from '../../schemas/deployments';
import type { PipelineRun } from '../../schemas/pipeline-runs';
import { listAudit } from '../../storage/postgres/audit';
import { openDeploymentsLab, WORD_PLAN, type DeploymentsLab } from '../support/deployments-lab';
import { plan, step } from '../support/plans';
import { until } from '../support/step-lab';

const YEARLY = { schedule: { cron: '0 3 1 1 *' } };
const COMMIT = { commit: 'c'.repeat(40), isDirty: false };
let lab: DeploymentsLab;
beforeAll(async () => {
  lab = await openDeploymentsLab();
});
afterAll(async () => {
  await lab.close();
});

describe('a deployed pipeline', () => {
  it('has a schedule that starts runs of its newest version, with its code and commit', async () => {
    const { changes, deployment } = await lab.deploy('nightly', {
      ...{ triggers: YEARLY, params: { word: 'x' }, codeDigest: 'a'.repeat(64), git: COMMIT },
    });
    expect(changes).toEqual(['new', '+ schedule 0 3 1 1 * (UTC)']);
    expect(deployment).toMatchObject({ name: 'nightly', version: 1, deployedBy: 'ada' });
    await lab.call('POST', '/schedules/nightly/trigger');
    await until(async () => (await lab.runsOf('nightly')).some((run) => run.endedAt !== null));
    expect(await lab.runsOf('nightly')).toMatchObject([
      {
        ...{ status: 'succeeded', params: { word: 'x' }, codeDigest: 'a'.repeat(64), git: COMMIT },
        trigger: { kind: 'schedule', subject: 'nightly', deployment: { version: 1 }, chain: [] },
      },
    ]);
    const shown = await lab.show('nightly');
    expect(shown).toMatchObject({ lastRun: { status: 'succeeded' }, history: [{ version: 1 }] });
    expect(shown.schedule?.next[0]).toMatch(/-01-01T03:00:00/);
  });

  it('is the same again, or a new version that says what differs', async () => {
    const given = { triggers: YEARLY, params: { word: 'x' }, git: COMMIT };
    await lab.deploy('versions', given);
    const same = await lab.deploy('versions', given);
    expect(same).toMatchObject({ changes: [], deployment: { version: 1 } });
    const dry = await lab.deploy('versions', { ...given, params: {}, dryRun: true });
    expect(dry).toMatchObject({ changes: ['param word: "x" → its default'] });
    expect((await lab.show('versions')).version).toBe(1);
    const triggers = { schedule: { everySeconds: 3600, overlap: 'allow', jitterSeconds: 5 } };
    const other = { triggers, git: { ...COMMIT, isDirty: true }, plan: plan([step('b')]) };
    const { changes, deployment } = await lab.deploy('versions', other);
    expect(deployment.version).toBe(2);
    expect(changes).toEqual([
      expect.stringMatching(/^plan: [0-9a-f]{12} → [0-9a-f]{12}$/),
      'commit: cccccccccccc → cccccccccccc + changes',
      'param word: "x" → its default',
      '- schedule 0 3 1 1 * (UTC)',
      '+ schedule every 3600 s, overlap allow, jitter 5 s',
    ]);
    const spec = (await lab.call('GET', '/schedules/versions')).json<object>();
    expect(spec).toMatchObject({ everySeconds: 3600, overlap: 'allow', deployment: 2 });
    expect((await lab.show('versions')).history.map(({ version }) => version)).toEqual([2, 1]);
    const subject = 'pipeline/versions';
    const audit = await listAudit(lab.database.postgres, {
      ...{ projectId: 'default', subject, limit: 9 },
    });
    expect(audit.map(({ actor, action }) => `${actor} ${action}`)).toEqual([
      ...['ada pipeline.deployed', 'ada pipeline.deployed'],
    ]);
  });

  it('loses its schedule with its trigger, and keeps a pause', async () => {
    await lab.deploy('fading', { triggers: YEARLY });
    await lab.call('POST', '/schedules/fading/pause', { note: 'later' });
    await lab.deploy('fading', { triggers: { schedule: { cron: '0 4 1 1 *' } } });
    expect(await lab.show('fading')).toMatchObject({ schedule: { isPaused: true } });
    const { changes } = await lab.deploy('fading', {});
    expect(changes).toEqual(['- schedule 0 4 1 1 * (UTC)']);
    expect((await lab.call('GET', '/schedules/fading')).status).toBe(404);
    expect(await lab.show('fading')).toMatchObject({ version: 3, schedule: null });
  });

  it('gets back a schedule that Temporal has lost when the same is deployed again', async () => {
    await lab.deploy('lost', { triggers: YEARLY });
    await lab.env.client.schedule.getHandle('schedule/default/lost').delete();
    expect(await lab.show('lost')).toMatchObject({ schedule: { isKnown: false } });
    expect((await lab.deploy('lost', { triggers: YEARLY })).changes).toEqual([]);
    expect(await lab.show('lost')).toMatchObject({ schedule: { isKnown: true } });
  });

  it('is stored once by two who deploy the same at the same time', async () => {
    const given = { triggers: YEARLY };
    const answers = await Promise.all([1, 2, 3].map(() => lab.deploy('race', given)));
    expect(answers.map(({ deployment }) => deployment.version)).toEqual([1, 1, 1]);
    expect(answers.filter(({ changes }) => changes.length > 0)).toHaveLength(1);
  });

  it('is started by a request, once for a run key', async () => {
    await lab.deploy('asked', { params: { word: 'x' } });
    const start = async (body: object): Promise<PipelineRun> => {
      const reply = await lab.call('POST', '/pipelines/asked/runs', body);
      expect(reply.status).toBe(201);
      return reply.json<PipelineRun>();
    };
    const first = await start({ params: { word: 'y' }, runKey: 'asked-1' });
    const trigger = { kind: 'request', subject: 'ada', deployment: { name: 'asked', version: 1 } };
    expect(first).toMatchObject({ params: { word: 'y' }, trigger });
    expect((await start({ params: { word: 'y' }, runKey: 'asked-1' })).id).toBe(first.id);
    const other = await lab.call('POST', '/pipelines/asked/runs', { runKey: 'asked-1' });
    expect([other.status, other.text]).toEqual([409, expect.stringContaining('run key')]);
    expect((await start({})).params).toEqual({ word: 'x' });
    expect(await lab.runsOf('asked')).toHaveLength(2);
  });

  it('is deleted; its runs and its numbers stay', async () => {
    await lab.deploy('gone', { triggers: YEARLY });
    expect((await lab.call('DELETE', '/pipelines/gone')).status).toBe(204);
    for (const path of ['/pipelines/gone', '/schedules/gone']) {
      expect((await lab.call('GET', path)).status).toBe(404);
    }
    expect((await lab.call('POST', '/pipelines/gone/runs', {})).status).toBe(404);
    expect((await lab.call('DELETE', '/pipelines/gone')).status).toBe(404);
    expect((await lab.deploy('gone')).deployment.version).toBe(2);
  });

  it('is listed by name, page by page', async () => {
    await lab.deploy('z-list-a', { triggers: YEARLY });
    await lab.deploy('z-list-b');
    type Page = { pipelines: DeployedPipeline[]; next: string | null };
    const first = (await lab.call('GET', '/pipelines?after=z-list&limit=1')).json<Page>();
    expect(first).toMatchObject({ pipelines: [{ name: 'z-list-a', lastRun: null }] });
    const after = first.next ?? '';
    const second = (await lab.call('GET', `/pipelines?after=${after}&limit=1`)).json<Page>();
    expect(second).toMatchObject({ pipelines: [{ name: 'z-list-b' }], next: null });
  });
});

describe('what cannot be deployed', () => {
  const needs = plan([step('a')], { ref: { type: 'string' } });
  it.each([
    ['a bad cron', { triggers: { schedule: { cron: 'soon' } } }, /Temporal refuses the schedule/],
    [
      'a bad time zone',
      { triggers: { schedule: { cron: '@daily', timezone: 'Mars/Olympus' } } },
      /Mars/,
    ],
    ['two clocks', { triggers: { schedule: { cron: '@daily', everySeconds: 5 } } }, /exactly one/],
    ['no clock', { triggers: { schedule: {} } }, /exactly one/],
    ['an unknown trigger', { triggers: { scedule: {} } }, /scedule/],
    ['an unknown param', { params: { wrod: 'x' } }, /Did you mean 'word'/],
    ['a wrong param', { params: { word: 1 } }, /params.word must be a string/],
    ['a schedule without a param', { plan: needs, triggers: YEARLY }, /params.ref has no default/],
    ['a plan that is none', { plan: { ...WORD_PLAN, steps: [] } }, /step/],
  ])('is refused with the reason: %s', async (_what, extra, says) => {
    const reply = await lab.call('PUT', '/pipelines/bad', { plan: WORD_PLAN, ...extra });
    expect([reply.status, reply.json<{ detail: string }>().detail]).toEqual([
      ...[400, expect.stringMatching(says)],
    ]);
    expect((await lab.call('GET', '/pipelines/bad')).status).toBe(404);
    expect((await lab.call('GET', '/schedules/bad')).status).toBe(404);
  });

  it('may lack a param that whoever starts it gives', async () => {
    await lab.deploy('partial', { plan: needs });
    const without = await lab.call('POST', '/pipelines/partial/runs', {});
    expect([without.status, without.text]).toEqual([400, expect.stringContaining('params.ref')]);
    const started = await lab.call('POST', '/pipelines/partial/runs', { params: { ref: 'main' } });
    expect(started.status).toBe(201);
  });

  it('is a schedule of its own that has the name, and the other way round', async () => {
    const byHand = { cron: '@yearly', plan: WORD_PLAN };
    expect((await lab.call('PUT', '/schedules/by-hand', byHand)).status).toBe(200);
    const taken = await lab.call('PUT', '/pipelines/by-hand', { plan: WORD_PLAN });
    expect([taken.status, taken.text]).toEqual([409, expect.stringContaining('made by hand')]);
    await lab.deploy('owned', { triggers: YEARLY });
    for (const [method, body] of [
      ['PUT', byHand],
      ['DELETE', undefined],
    ] as const) {
      const reply = await lab.call(method, '/schedules/owned', body);
      expect([reply.status, reply.text]).toEqual([409, expect.stringContaining('deploy it again')]);
    }
  });
});
