import fc from 'fast-check';
import type { HttpReply } from '../support/http';
import { startTrackingApi, type TrackingApi } from '../support/tracking-api';

// Expected answers are those of MLflow's own server (3.17.2), asked the same.
let api: TrackingApi;
let runId: string;
beforeAll(async () => {
  api = await startTrackingApi();
});
afterAll(() => api.close());
beforeEach(async () => {
  runId = await api.newRun('0');
});

type Entries = readonly Readonly<Record<string, unknown>>[];
interface WireRun {
  readonly info: Readonly<Record<string, unknown>>;
  readonly data: Readonly<Record<'params' | 'tags' | 'metrics', Entries | undefined>>;
}
const INVALID = [400, 'INVALID_PARAMETER_VALUE'];
const MISSING = [404, 'RESOURCE_DOES_NOT_EXIST'];

const log = (path: string, body: object): Promise<HttpReply> =>
  api.post(`runs/${path}`, { run_id: runId, ...body });
const refusal = async (path: string, body: object): Promise<unknown[]> => {
  const reply = await log(path, body);
  return [reply.status, reply.json<{ error_code?: string }>().error_code];
};
const messageOf = async (path: string, body: object): Promise<string | undefined> =>
  (await log(path, body)).json<{ message?: string }>().message;
const getRun = async (): Promise<WireRun> =>
  (await api.get('runs/get', { run_id: runId })).json<{ run: WireRun }>().run;
const valueOf = async (kind: 'params' | 'tags', key: string): Promise<unknown> =>
  (await getRun()).data[kind]?.find((entry) => entry['key'] === key)?.['value'];
const latest = async (key: string): Promise<unknown> =>
  (await getRun()).data.metrics?.find((metric) => metric['key'] === key);
const history = async (key: string, query: Record<string, string> = {}): Promise<Entries> => {
  const reply = await api.get('metrics/get-history', { run_id: runId, metric_key: key, ...query });
  return reply.json<{ metrics?: Entries }>().metrics ?? [];
};
const metric = (key: string, value: unknown, [timestamp, step] = [1, 0]): object => ({
  ...{ key, value, timestamp, step },
});

describe('params', () => {
  it('are written once; the same value again changes nothing', async () => {
    for (const value of ['1', '1']) await log('log-parameter', { key: 'p', value });
    expect(await messageOf('log-parameter', { key: 'p', value: '2' })).toBe(
      `Changing param values is not allowed. Param with key='p' was already logged with value='1' for run ID='${runId}'. Attempted logging new value '2'.`,
    );
    expect(await refusal('log-parameter', { key: 'p', value: '2' })).toEqual(INVALID);
    await log('log-parameter', { key: 'empty' });
    expect((await getRun()).data.params).toEqual([
      { key: 'empty', value: '' },
      { key: 'p', value: '1' },
    ]);
  });

  it.each(['x', 'é', '😀'])('are cut at 6,000 characters, and tags at 8,000: %s', async (char) => {
    for (const count of [6001, 6002]) {
      const body = { key: 'p', value: char.repeat(count) };
      expect((await log('log-parameter', body)).status).toBe(200); // cut to the same
    }
    expect(await valueOf('params', 'p')).toBe(char.repeat(6000));
    await log('set-tag', { key: 't', value: char.repeat(8001) });
    expect(await valueOf('tags', 't')).toBe(char.repeat(8000));
  });
});

describe('tags', () => {
  it('are overwritten, the last of a batch winning, and removed once', async () => {
    const tags = ['1', '2'].map((value) => ({ key: 't', value }));
    await log('log-batch', { tags });
    expect(await valueOf('tags', 't')).toBe('2');
    await log('set-tag', { key: 't', value: '3' });
    expect(await valueOf('tags', 't')).toBe('3');
    expect((await log('delete-tag', { key: 't' })).status).toBe(200);
    expect(await refusal('delete-tag', { key: 't' })).toEqual(MISSING);
  });
});

describe('metrics', () => {
  it('are a set of points, sent as often as one likes', async () => {
    const points = [metric('m', 2, [20, 1]), metric('m', 1, [10, 0]), metric('m', 1.5, [20, 1])];
    for (const metrics of [points, points]) await log('log-batch', { metrics });
    await log('log-metric', { ...metric('m', '1', [10, 0]), step: '0', timestamp: '10' });
    expect(await history('m')).toEqual([points[1], points[2], points[0]]);
    expect(await history('other')).toEqual([]);
  });

  it('have a latest value: by step, timestamp, value, with NaN as 0', async () => {
    await log('log-batch', {
      metrics: [
        metric('a', 1, [5, 1]),
        metric('a', 9, [1, 1]), // earlier
        metric('a', 3, [5, 1]),
        metric('a', 8, [9, 0]), // a lower step
        metric('below', -5),
        metric('below', 'NaN'),
        metric('above', 5),
        metric('above', 'NaN'),
        metric('inf', 'Infinity'),
        metric('ninf', '-Infinity'),
      ],
    });
    expect(await latest('a')).toEqual(metric('a', 3, [5, 1]));
    expect(await latest('below')).toEqual(metric('below', 'NaN'));
    expect(await latest('above')).toEqual(metric('above', 5));
    expect(await latest('inf')).toEqual(metric('inf', 1.7976931348623157e308));
    expect(await history('ninf')).toEqual([metric('ninf', -1.7976931348623157e308)]);
    await log('log-metric', metric('a', 2, [5, 1]));
    expect(await latest('a')).toEqual(metric('a', 3, [5, 1]));
  });

  it('are read in pages', async () => {
    const metrics = Array.from({ length: 10 }, (_, i) => metric('m', i, [i, i]));
    await log('log-batch', { metrics });
    const seen: unknown[] = [];
    let token = '';
    do {
      const page = { run_id: runId, metric_key: 'm', max_results: '4', page_token: token };
      const reply = await api.get('metrics/get-history', page);
      const body = reply.json<{ metrics: Entries; next_page_token?: string }>();
      expect(body.metrics.length).toBeLessThanOrEqual(4);
      seen.push(...body.metrics);
      token = body.next_page_token ?? '';
    } while (token !== '');
    expect(seen).toEqual(metrics);
    for (const max of ['0', '-1', 'x']) {
      const page = { run_id: runId, metric_key: 'm', max_results: max };
      expect((await api.get('metrics/get-history', page)).status).toBe(400);
    }
  });
});

describe('log-batch', () => {
  const many = (count: number): object[] =>
    Array.from({ length: count }, (_, i) => ({ key: `k${i}`, value: '1' }));

  it.each([
    ['metrics', { metrics: many(1001).map((one) => ({ ...one, timestamp: 1 })) }, 1000],
    ['params', { params: many(101) }, 100],
    ['tags', { tags: many(101) }, 100],
    [
      'metrics, params, and tags',
      { metrics: many(950).map((one) => ({ ...one, timestamp: 1 })), params: many(51) },
      1000,
    ],
  ])('takes so many %s at once', async (what, body, most) => {
    expect(await messageOf('log-batch', body)).toContain(
      `A batch logging request can contain at most ${most} ${what}. Got ${most + 1} ${what}.`,
    );
  });

  it.each([
    [{ metrics: [{ value: 1, timestamp: 1 }] }, "required parameter 'metrics[0].key'"],
    [{ metrics: [{ key: 'a', timestamp: 1 }] }, "required parameter 'metrics[0].value'"],
    [{ metrics: [{ key: 'a', value: 1 }] }, "required parameter 'metrics[0].timestamp'"],
    [{ params: [{ value: '1' }] }, "required parameter 'params[0].key'"],
    [{ params: [{ key: 'd' }, { key: 'd' }] }, "parameter keys have been submitted: ['d']"],
    [{ tags: [{ key: 'a' }, { key: 'b//c' }] }, `"b//c" for parameter 'tags[1].key' supplied`],
    [{ run_id: '#bad' }, `Invalid value "#bad" for parameter 'run_id' supplied.`],
  ])('refuses %j', async (body, text) => {
    expect(await messageOf('log-batch', body)).toContain(text);
    expect(await refusal('log-batch', body)).toEqual(INVALID);
  });

  it('is stored as a whole or not at all', async () => {
    await log('log-parameter', { key: 'old', value: '1' });
    const good = { params: [{ key: 'new', value: '1' }], tags: [{ key: 'new', value: '1' }] };
    const changed = [...good.params, { key: 'old', value: '2' }];
    const late = metric('m', 1, [9e15, 0]); // no clock says so
    for (const bad of [
      { ...good, params: changed, metrics: [metric('m', 1)] },
      { ...good, metrics: [metric('m', 1), late] },
      { ...good, metrics: [metric('m', 1)], tags: [...good.tags, { key: '/' }] },
    ]) {
      expect(await refusal('log-batch', bad)).toEqual(INVALID);
      expect((await getRun()).data.params).toEqual([{ key: 'old', value: '1' }]);
      expect(await valueOf('tags', 'new')).toBeUndefined();
      expect(await history('m')).toEqual([]);
    }
  });

  it('waits for others without a deadlock', async () => {
    const keys = Array.from({ length: 40 }, (_, i) => `k${i}`);
    const name = (i: number): object => ({ key: 'mlflow.runName', value: `name ${i}` });
    const replies = await Promise.all(
      Array.from({ length: 40 }, (_, i) => {
        const order = i % 2 === 0 ? keys : [...keys].reverse();
        const entries = order.map((key) => ({ key, value: 'v' }));
        if (i % 4 === 3) return log('update', { run_name: `update ${i}` });
        return log('log-batch', { params: entries, tags: [...entries, name(i)] });
      }),
    );
    expect(replies.filter((reply) => reply.status !== 200).map((reply) => reply.text)).toEqual([]);
    expect((await getRun()).data.params).toHaveLength(40);
  });
});

describe('keys', () => {
  it.each(['ok', 'a/b.c-d e:f_9', 'größe', '1', 'k'.repeat(250), 'é'.repeat(250)])(
    'may be %j',
    async (key) => {
      for (const [path, body] of [
        ['log-metric', { value: 1, timestamp: 1 }],
        ['log-parameter', { value: '1' }],
        ['set-tag', { value: '1' }],
      ] as const) {
        expect((await log(path, { key, ...body })).status).toBe(200);
      }
      expect(await history(key)).toHaveLength(1);
    },
  );

  const files = (name: string): string => `This name would resolve to '${name}'`;
  it.each([
    ['bad#', 'Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).'], // prettier-ignore
    ['a\n', 'Names may only contain'],
    ['a//b', files('a/b')],
    ['a/../b', files('b')],
    ['../x', files('../x')],
    ['..x', files('..x')],
    ['/x', files('/x')],
    ['x/', files('x')],
    ['./x', files('x')],
    ['.', files('.')],
    ['k'.repeat(251), 'exceeds the maximum length of 250 characters'],
  ])('may not be %j', async (key, why) => {
    for (const [path, body] of [
      ['log-metric', { value: 1, timestamp: 1 }],
      ['log-parameter', { value: '1' }],
      ['set-tag', { value: '1' }],
    ] as const) {
      expect(await refusal(path, { key, ...body })).toEqual(INVALID);
      expect(await messageOf(path, { key, ...body })).toContain(why);
    }
  });
});

describe('whatever is sent', () => {
  const texts = fc.oneof(
    fc.constantFrom('0', '1', 'NaN', 'eyJzdGFydGVkTXMiOjEuNSwiaWQiOiJ4In0', 'a\0b', '\uD800'),
    fc.string({ unit: 'binary' }),
  );
  const numbers = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(2 ** 53, -1, 1e300));
  const values = fc.oneof(texts, numbers, fc.jsonValue(), fc.constant(undefined));
  const names = [
    ...['key', 'value', 'timestamp', 'step', 'status', 'run_name', 'start_time', 'end_time'],
    ...['tags', 'params', 'metrics', 'experiment_ids', 'max_results', 'page_token', 'name'],
    ...['run_id', 'experiment_id', 'user_id', 'new_name', 'view_type', 'run_view_type', 'filter'],
  ];
  const record = (value: fc.Arbitrary<unknown>): fc.Arbitrary<Record<string, unknown>> =>
    fc.record(Object.fromEntries(names.map((name) => [name, value])), { requiredKeys: [] });
  const bodies = record(fc.oneof(values, fc.array(record(values), { maxLength: 3 })));
  const paths = fc.constantFrom(
    ...['experiments/create', 'experiments/search', 'experiments/update', 'runs/create'],
    ...['experiments/set-experiment-tag', 'runs/update', 'runs/log-metric', 'runs/log-parameter'],
    ...['runs/set-tag', 'runs/delete-tag', 'runs/log-batch', 'runs/search'],
  );

  it('is answered with 200 or the mistake, never with a status that clients retry', async () => {
    const known = fc.constantFrom({}, { run_id: runId }, { run_id: runId, experiment_id: '0' });
    await fc.assert(
      fc.asyncProperty(paths, bodies, known, async (path, body, ids) => {
        const reply = await api.post(path, { ...body, ...ids });
        expect([200, 400, 404]).toContain(reply.status);
      }),
      { numRuns: 500 },
    );
  });
});
