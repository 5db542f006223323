import type { DeployAnswer } from '../../schemas/deployments';
import { openDeploymentsLab, type DeploymentsLab } from '../support/deployments-lab';
import { callHttp, type HttpReply } from '../support/http';
import { plan, step } from '../support/plans';

const ON = { triggers: { webhook: { params: { word: 'body.ref' } } } };
const JSON_TYPE = { 'content-type': 'application/json' };
let lab: DeploymentsLab;
beforeAll(async () => {
  lab = await openDeploymentsLab();
});
afterAll(async () => {
  await lab.close();
});

async function deployed(name: string, extra: object = ON): Promise<string> {
  const { hook } = await lab.deploy(name, extra);
  expect(hook?.path).toBe(`/api/v1/hooks/${name}`);
  return hook?.token ?? '';
}
function call(
  name: string,
  body: unknown,
  headers: Readonly<Record<string, string>>,
): Promise<HttpReply> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const all = { ...JSON_TYPE, ...headers };
  return callHttp(`${lab.base}/hooks/${name}`, { method: 'POST', headers: all, body: text });
}
const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
const runIdOf = (reply: HttpReply): string => {
  expect([reply.status, reply.text]).toEqual([202, expect.any(String)]);
  return reply.json<{ runId: string }>().runId;
};

describe('a webhook', () => {
  it('starts a run with the params that its body gives', async () => {
    const token = await deployed('hooked');
    const id = runIdOf(await call('hooked', { ref: 'main', other: [1] }, bearer(token)));
    const basic = Buffer.from(`hook:${token}`).toString('base64');
    await call('hooked', { ref: 'b' }, { authorization: `Basic ${basic}` });
    await call('hooked', { ref: 'c' }, { 'x-anneal-token': token });
    const runs = await lab.runsOf('hooked');
    expect(runs.map(({ params }) => params['word']).sort()).toEqual(['b', 'c', 'main']);
    expect(runs.find((run) => run.id === id)).toMatchObject({
      trigger: { kind: 'webhook', subject: 'hooked', deployment: { version: 1 } },
    });
  });

  it('starts one run for all deliveries of one key, whatever is deployed in between', async () => {
    const token = await deployed('once');
    const key = { ...bearer(token), 'idempotency-key': 'push-1' };
    const ids = await Promise.all([1, 2, 3].map(() => call('once', { ref: 'a' }, key)));
    const [first] = ids.map(runIdOf);
    expect(new Set(ids.map(runIdOf))).toEqual(new Set([first]));
    await lab.deploy('once', { ...ON, plan: plan([step('b')], { word: { type: 'string' } }) });
    expect(runIdOf(await call('once', { ref: 'changed' }, key))).toBe(first);
    const github = { ...bearer(token), 'x-github-delivery': 'push-2' };
    const second = runIdOf(await call('once', { ref: 'b' }, github));
    expect(runIdOf(await call('once', { ref: 'b' }, github))).toBe(second);
    expect(await lab.runsOf('once')).toHaveLength(2);
  });

  it('keeps its token when it is deployed again, and loses it with its trigger', async () => {
    const token = await deployed('kept');
    const again = await lab.deploy('kept', { ...ON, plan: plan([step('b')], WORD) });
    expect(again).toMatchObject({ hook: null, deployment: { version: 2 } });
    expect((await lab.show('kept')).hookPath).toBe('/api/v1/hooks/kept');
    runIdOf(await call('kept', { ref: 'x' }, bearer(token)));
    const renewed = await lab.call('POST', '/pipelines/kept/hook-token');
    const other = renewed.json<{ token: string }>().token;
    expect((await call('kept', { ref: 'x' }, bearer(token))).status).toBe(401);
    runIdOf(await call('kept', { ref: 'x' }, bearer(other)));
    expect((await lab.deploy('kept', {})).changes).toContain('- webhook with word=body.ref');
    expect((await call('kept', { ref: 'x' }, bearer(other))).status).toBe(401);
    const none = await lab.call('POST', '/pipelines/kept/hook-token');
    expect([none.status, none.text]).toEqual([409, expect.stringContaining('no webhook')]);
    expect((await lab.call('POST', '/pipelines/nobody/hook-token')).status).toBe(404);
    const back = await deployed('kept');
    await lab.call('DELETE', '/pipelines/kept');
    expect((await call('kept', { ref: 'x' }, bearer(back))).status).toBe(401);
  });

  it('tells nobody whether it exists', async () => {
    const token = await deployed('secret');
    const other = await deployed('other');
    const mistyped = `${token.slice(0, -1)}!`;
    const answers = [
      await call('secret', { ref: 'x' }, {}),
      await call('secret', { ref: 'x' }, bearer(other)),
      await call('secret', { ref: 'x' }, bearer(mistyped)),
      await call('secret', 'no json', {}),
      await call('nobody', { ref: 'x' }, bearer(token)),
      await call('nobody', { ref: 'x' }, {}),
    ].map(({ status, text }) => [status, text.replace(/"request_id":"[^"]+"/, '')]);
    expect(new Set(answers.map(String)).size).toBe(1);
    expect(answers[0]).toEqual([401, expect.stringContaining('UNAUTHENTICATED')]);
    expect(await lab.runsOf('secret')).toEqual([]);
  });
});

const WORD = { word: { type: 'string' } } as const;

describe('a call that starts nothing', () => {
  let token: string;
  beforeAll(async () => {
    token = await deployed('strict', { ...ON, plan: plan([step('a')], WORD) });
  });
  afterEach(async () => {
    expect(await lab.runsOf('strict')).toEqual([]);
  });

  it.each<[string, unknown, Record<string, string>, number, RegExp]>([
    ['no JSON', 'ref=main', {}, 400, /not valid JSON/],
    ['a form', 'ref=main', { 'content-type': 'application/x-www-form-urlencoded' }, 400, /as JSON/],
    ['too large', { ref: 'x'.repeat(64 * 1024) }, {}, 413, /at most 64 KiB/],
    ['no such key', { rfe: 1 }, {}, 400, /on.webhook.params.word: 'body.ref' has no value/],
    ['another type', { ref: 1 }, {}, 400, /params.word must be a string, not 1/],
    ['a bad key', { ref: 'x' }, { 'idempotency-key': 'a b' }, 400, /1 to 200 characters/],
    ['a key too long', { ref: 'x' }, { 'idempotency-key': 'a'.repeat(201) }, 400, /1 to 200/],
  ])('says why: %s', async (_what, body, ...[headers, status, says]) => {
    const reply = await call('strict', body, { ...bearer(token), ...headers });
    expect([reply.status, reply.json<{ detail: string }>().detail]).toEqual([
      ...[status, expect.stringMatching(says)],
    ]);
  });

  it('comes without a body where params must be given', async () => {
    const url = `${lab.base}/hooks/strict`;
    const reply = await callHttp(url, { method: 'POST', headers: bearer(token) });
    expect([reply.status, reply.text]).toEqual([400, expect.stringContaining("'body.ref'")]);
  });
});

it('needs no body where none is read', async () => {
  const token = await deployed('bare', { triggers: { webhook: {} } });
  const url = `${lab.base}/hooks/bare`;
  runIdOf(await callHttp(url, { method: 'POST', headers: bearer(token) }));
});

describe('what no webhook can be', () => {
  it.each([
    ['an unknown param', { wrod: 'body.ref' }, /on.webhook.params.wrod .*Did you mean 'word'/],
    ['another name', { word: 'event.ref' }, /'event.ref' cannot be read here: begin with body/],
    ['no expression', { word: 'body..ref' }, /on.webhook.params.word 'body..ref': expected a name/],
    ['nothing for a param', {}, /on.webhook.params must give 'word'/],
  ])('is refused: %s', async (_what, params, says) => {
    const body = { plan: plan([step('a')], WORD), triggers: { webhook: { params } } };
    const reply = await lab.call('PUT', '/pipelines/wrong', body);
    expect([reply.status, reply.json<{ detail: string }>().detail]).toEqual([
      ...[400, expect.stringMatching(says)],
    ]);
    expect((await lab.call('GET', '/pipelines/wrong')).status).toBe(404);
  });

  it('makes no token in a dry run', async () => {
    const answer = await lab.deploy('dry', { ...ON, dryRun: true });
    expect(answer).toMatchObject<Partial<DeployAnswer>>({ hook: null });
  });
});
