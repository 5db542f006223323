import fc from 'fast-check';
import { placesIn, replaceAt } from '../support/json-places';
import { startTrackingApi, type TrackingApi } from '../support/tracking-api';

let api: TrackingApi;
let ids: { readonly run_id: string; readonly experiment_id: string };
beforeAll(async () => {
  api = await startTrackingApi();
  const experiment = await api.newExperiment();
  ids = { run_id: await api.newRun(experiment), experiment_id: experiment };
});
afterAll(() => api.close());

const TAGS = [{ key: 'k', value: 'v' }];
const POINT = { key: 'm', value: 1, timestamp: 1, step: 1 };
/** The token of a page of runs or experiments, as our server would write it but for the cursor. */
const token = (cursor: unknown): string =>
  Buffer.from(JSON.stringify(cursor)).toString('base64url');
/** A request that is fine for each route; ids are added. */
const BODIES: Readonly<Record<string, object>> = {
  'experiments/create': { name: 'n', tags: TAGS },
  'experiments/search': {
    ...{ max_results: 2, view_type: 'ALL', filter: '' },
    page_token: token({ createdMs: 1, id: 1 }),
  },
  'experiments/update': { new_name: 'another' },
  'experiments/set-experiment-tag': TAGS[0] ?? {},
  'experiments/delete-experiment-tag': { key: 'k' },
  'runs/create': { user_id: 'u', run_name: 'n', start_time: 1, tags: TAGS },
  'runs/update': { status: 'RUNNING', end_time: 1, run_name: 'n' },
  'runs/log-metric': POINT,
  'runs/log-parameter': { key: 'p', value: 'v' },
  'runs/set-tag': { key: 't', value: 'v' },
  'runs/delete-tag': { key: 't' },
  'runs/log-batch': { metrics: [POINT, POINT], params: TAGS, tags: [...TAGS, ...TAGS] },
  'runs/search': {
    ...{ experiment_ids: ['0'], run_view_type: 'ALL', max_results: 2 },
    page_token: token({ startedMs: 1, id: '0'.repeat(32) }),
  },
};

const odd = fc.oneof(
  fc.constantFrom<unknown>(
    ...['', ' ', 'a\0b', '\0', '\uD800', 'NaN', '-0', '1.5', '9'.repeat(30), '-1', 'a//b', '..'],
    ...[null, true, 0, -1, 1.5, 2 ** 53, 1e300, [], {}, [null], [[]], 'x'.repeat(9_000)],
  ),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.jsonValue(),
);
const requests = fc
  .constantFrom(...Object.keys(BODIES))
  .chain((path) => {
    const body = { ...BODIES[path], run_id: 'the run', experiment_id: 'the experiment' };
    const place = fc.constantFrom(...placesIn(body));
    return fc.record({ path: fc.constant(path), body: fc.constant(body), place, by: odd });
  })
  .map(({ path, body, place, by }) => ({ path, body: replaceAt(body, place, by) }));

it('answers a good request of each kind', async () => {
  for (const [path, body] of Object.entries(BODIES)) {
    const reply = await api.post(path, { ...body, ...ids });
    expect([path, reply.status, reply.text]).toEqual([path, 200, expect.any(String)]);
  }
});

it('answers one wrong value with the mistake, never with a status that clients retry', async () => {
  await fc.assert(
    fc.asyncProperty(requests, async ({ path, body }) => {
      const text = JSON.stringify(body ?? null)
        .replace('the run', ids.run_id)
        .replace('the experiment', ids.experiment_id);
      const reply = await api.post(path, JSON.parse(text));
      expect([200, 400, 404]).toContain(reply.status);
    }),
    { numRuns: 1_500 },
  );
});

it.each([
  ...[
    { startedMs: 1.5, id: '0'.repeat(32) },
    { startedMs: 1e300, id: '0'.repeat(32) },
  ],
  ...[
    { startedMs: 1, id: 'a\0b' },
    { startedMs: 1, id: 5 },
    { createdMs: 1.5, id: 1 },
  ],
  ...[
    { createdMs: 1, id: 1e300 },
    { createdMs: 1, id: '1' },
    { createdMs: 1, id: 1, more: 1 },
  ],
  ...[{ offset: 2 }, null, 5, 'x', []],
])('refuses the page token of %j', async (cursor) => {
  for (const path of ['runs/search', 'experiments/search']) {
    const body = { experiment_ids: ['0'], max_results: 2, page_token: token(cursor) };
    const reply = await api.post(path, body);
    const expected = [path, 400, expect.stringContaining('page token')];
    expect([path, reply.status, reply.text]).toEqual(expected);
  }
});

it('refuses a page token that was changed', async () => {
  const good = token({ startedMs: 1, id: '0'.repeat(32) });
  for (const text of [`!${good}`, `${good} `, `${good}=`, good.slice(1), good.slice(0, -1)]) {
    const reply = await api.post('runs/search', { experiment_ids: ['0'], page_token: text });
    expect([text, reply.status]).toEqual([text, 400]);
  }
});

it('answers any query with the mistake', async () => {
  const names = ['run_id', 'experiment_id', 'experiment_name', 'metric_key', 'page_token'];
  // a longer line than node reads is answered with 431, before any route
  const text = odd.map((value) => JSON.stringify(value ?? null).slice(0, 500));
  const query = fc.record(
    Object.fromEntries([...names, 'max_results'].map((name) => [name, text])),
    { requiredKeys: [] },
  );
  const paths = ['runs/get', 'experiments/get', 'experiments/get-by-name', 'metrics/get-history'];
  const run = fc.constantFrom({}, { run_id: ids.run_id, metric_key: 'm' });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...paths), query, run, async (path, given, known) => {
      const reply = await api.get(path, { ...given, ...known });
      expect([200, 400, 404]).toContain(reply.status);
    }),
    { numRuns: 400 },
  );
});
