import { gzipSync } from 'node:zlib';
import { GOOD_BODIES } from '../support/good-bodies';
import { callHttp, type HttpReply } from '../support/http';
import { placesIn, replaceAt, valueAt, type Place } from '../support/json-places';
import { ATTEMPT, startWholeApi, type ApiRoute, type WholeApi } from '../support/whole-api';

let api: WholeApi;
beforeAll(async () => {
  api = await startWholeApi();
});
afterAll(async () => {
  expect(api.logged).toEqual([]); // the api took no request's mistake for its own
  await api.close();
});

/** Where bytes are stored as they come, and what is refused before it is read. */
const NO_JSON = /^\/objects\/|\/hooks\/|\/mlflow-artifacts\/|\/presigned-upload-url$/;
const JSON_TYPE = { 'content-type': 'application/json' };
const isMlflow = (url: string): boolean => /^\/(ajax-)?api\/[23]\.0\//.test(url);

/** Every route that reads a body. */
function routesWithBody(): ApiRoute[] {
  const methods = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
  return api.table.filter(({ method, url }) => methods.has(method) && !NO_JSON.test(url));
}
function send(
  { method, url }: Pick<ApiRoute, 'method' | 'url'>,
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = JSON_TYPE,
): Promise<HttpReply> {
  const filled = url.replace(':id', ATTEMPT.runId).replace(/:\w+/g, 'x');
  return callHttp(api.url + filled, { method, headers, body });
}

interface Answer {
  readonly route: string;
  readonly status: number;
  readonly code: string;
  readonly message: string;
}
/** What an answer says, by either of the two forms that clients read. */
function answerOf({ method, url }: Pick<ApiRoute, 'method' | 'url'>, reply: HttpReply): Answer {
  const [route, status] = [`${method} ${url}`, reply.status];
  if (status < 300) return { route, status, code: '', message: '' };
  if (isMlflow(url)) {
    const { error_code: code, message } = reply.json<{ error_code: string; message: string }>();
    return { route, status, code, message };
  }
  expect(reply.headers['content-type']).toContain('application/problem+json');
  const problem = reply.json<{ code: string; detail: string; advice: string }>();
  expect(problem.advice).toMatch(/\w+/);
  return { route, status, code: problem.code, message: problem.detail };
}

interface Bad {
  readonly what: string;
  readonly body: string | Buffer;
  readonly headers?: Record<string, string>;
  /** What every route of ours says, and every one of MLflow's if that is said too. */
  readonly says: RegExp;
  readonly mlflow?: RegExp;
}
const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
const NO_OBJECT = /^request: Invalid input: expected object, received/;
const BROKEN = { says: /^Body is not valid JSON/, mlflow: /^The body is not valid JSON\.$/ };
/** `name` and `nope` are unknown to most routes; MLflow's ignore what they do not know. */
const BAD: readonly Bad[] = [
  { what: 'an unknown field', body: '{"nope":1}', says: /Unrecognized key: "nope"$/ },
  { what: 'a list', body: '[]', says: NO_OBJECT, mlflow: /^The request must be a JSON object\.$/ },
  { what: 'a number', body: '5', says: NO_OBJECT, mlflow: /must be a JSON object/ },
  { what: 'null', body: 'null', says: NO_OBJECT },
  { what: 'half of an object', body: '{"nope": ', ...BROKEN },
  { what: 'no JSON', body: 'nope=x', ...BROKEN },
  { what: 'a NUL in the text', body: '{"nope":"a\0b"}', ...BROKEN },
  { what: 'a prototype', body: '{"__proto__":{"a":1}}', says: BROKEN.says },
  {
    ...{ what: 'bytes that are no UTF-8', body: Buffer.from('{"nope":"\xff"}', 'latin1') },
    ...{ says: /^The body is not UTF-8 text: send it as/, mlflow: /^The body is not UTF-8 text/ },
  },
  { what: 'lists in lists', body: deep, says: /more than 100 levels deep/, mlflow: /JSON object/ },
  { what: 'depth', body: `{"nope":${deep}}`, says: /more than 100 levels deep: flatten/ },
  { what: 'depth in a name', body: `{"name":${deep}}`, says: /more than 100 levels deep/ },
  {
    ...{ what: 'another type', body: '{"nope":1}', headers: { 'content-type': 'text/xml' } },
    says: /^The body is not declared as JSON: send the header content-type: application\/json\.$/,
  },
  { what: 'no type', body: '{"nope":1}', headers: {}, says: /not declared as JSON/ },
  {
    ...{ what: 'a broken type', body: '{"nope":1}', headers: { 'content-type': ';;;' } },
    ...{ says: /not declared as JSON/, mlflow: /not declared as JSON/ },
  },
  {
    ...{ what: 'gzip', body: gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x20)) },
    headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
    ...{ says: /compressed \(content-encoding: gzip\): send it as it is/, mlflow: /compressed/ },
  },
];

it.each(BAD)(
  'refuses $what on every route and keeps nothing',
  async ({ body, headers, ...bad }) => {
    const before = await api.countRows();
    for (const route of routesWithBody()) {
      const says = isMlflow(route.url) ? bad.mlflow : bad.says;
      if (says === undefined) continue;
      const answer = answerOf(route, await send(route, body, headers));
      expect(answer).toMatchObject({ status: 400, message: expect.stringMatching(says) as string });
    }
    expect(await api.countRows()).toEqual(before);
  },
);

/** As MLflow does: these read what they know, and a step's own run needs no field. */
const NEEDS_NOTHING = /\/(runs\/search|logged-models\/search|runs\/create)$/;

it.each(BAD.filter(({ mlflow }) => mlflow === undefined))(
  "passes over $what on MLflow's routes, or names what is missing or wrong",
  async ({ what, body, headers }) => {
    for (const route of routesWithBody().filter(({ url }) => isMlflow(url))) {
      const answer = answerOf(route, await send(route, body, headers));
      if (NEEDS_NOTHING.test(route.url) && answer.status === 200) continue;
      const says = expect.stringMatching(/'\w+'|Content-Type|No registered model/) as string;
      expect([what, answer]).toEqual([what, { ...answer, message: says }]);
      expect([400, 404]).toContain(answer.status);
    }
  },
);

function ownRoute(name: string): ApiRoute {
  const route = routesWithBody().find(({ method, url }) => `${method} ${url}` === name);
  if (route === undefined) throw new Error(`no route ${name}`);
  return route;
}

it('has a body for every route of ours', () => {
  const own = routesWithBody().filter(({ url }) => !isMlflow(url));
  expect(own.map(({ method, url }) => `${method} ${url}`).sort()).toEqual(
    Object.keys(GOOD_BODIES).sort(),
  );
});

/** JSON of any shape stands here by design. */
const ANY_JSON = /^(values|params|plan\.steps\.0\.with)\.\w+/;

describe.each(Object.entries(GOOD_BODIES))('%s', (name, good) => {
  it('names the field that has another type, at any depth', async () => {
    const before = await api.countRows();
    for (const place of placesIn(good).slice(1)) {
      if (ANY_JSON.test(place.join('.'))) continue;
      for (const wrong of wrongFor(valueAt(good, place))) {
        const reply = await send(ownRoute(name), JSON.stringify(replaceAt(good, place, wrong)));
        const answer = answerOf(ownRoute(name), reply);
        expect([place.join('.'), wrong, answer.status]).toEqual([place.join('.'), wrong, 400]);
        expect(answer.message).toContain(place[0]);
      }
    }
    expect(await api.countRows()).toEqual(before);
  });

  it('refuses an unknown field in every object', async () => {
    const before = await api.countRows();
    for (const place of placesIn(good).filter((at) => hasFields(good, at))) {
      const extra = { ...(valueAt(good, place) as object), nope: 1 };
      const reply = await send(ownRoute(name), JSON.stringify(replaceAt(good, place, extra)));
      const answer = answerOf(ownRoute(name), reply);
      expect([place.join('.'), answer.status]).toEqual([place.join('.'), 400]);
      expect(answer.message).toContain('nope');
    }
    expect(await api.countRows()).toEqual(before);
  });
});

function wrongFor(value: unknown): unknown[] {
  const others: unknown[] = [5, 'text', true, [5], { a: 5 }, 1e308, -1.5];
  const kind = (one: unknown): string => (Array.isArray(one) ? 'list' : typeof one);
  return others.filter((one) => kind(one) !== kind(value));
}
/** An object whose names are fields, not keys that the caller chooses. */
function hasFields(good: object, place: Place): boolean {
  const value = valueAt(good, place);
  const maps =
    /^(params|values|artifacts|metrics|variables|plan\.params|plan\.steps\.0\.(env|with))$/;
  return typeof value === 'object' && !Array.isArray(value) && !maps.test(place.join('.'));
}

it('refuses texts that cannot be stored, or stores them; it never breaks', async () => {
  for (const [name, good] of Object.entries(GOOD_BODIES)) {
    // need Temporal: tests/workflow
    if (/pipeline-runs(\/:id\/(control|resume))?$|PUT .*schedules/.test(name)) continue;
    for (const place of placesIn(good)) {
      if (typeof valueAt(good, place) !== 'string') continue;
      for (const text of ['a\0b', '\ud800', '\udc00x', 'x'.repeat(3_000)]) {
        const body = JSON.stringify(replaceAt(good, place, text));
        const answer = answerOf(ownRoute(name), await send(ownRoute(name), body));
        const about = [name, place.join('.'), text.slice(0, 9)];
        expect([...about, answer.status >= 500 ? answer : 'fine']).toEqual([...about, 'fine']);
      }
    }
  }
});

it('names the first wrong fields of many, in an answer of bounded size', async () => {
  const objects = Array.from({ length: 10_000 }, () => ({ digest: 'x', sizeBytes: -1 }));
  const reply = await send(ownRoute('POST /api/v1/objects/plan'), JSON.stringify({ objects }));
  expect(reply.status).toBe(400);
  expect(reply.json<{ errors: object[] }>().errors).toHaveLength(20);
  expect(reply.text).toContain('objects.0.digest');
  expect(reply.text).toContain('and 19980 more');
});

it('refuses a body over the limit before it is sent', async () => {
  for (const route of routesWithBody()) {
    const headers = { ...JSON_TYPE, 'content-length': String(16 * 1024 * 1024 + 1) };
    const answer = answerOf(route, await send(route, '{', headers));
    expect([answer.route, answer.status]).toEqual([answer.route, isMlflow(route.url) ? 400 : 413]);
    expect(answer.message).toMatch(/too large \(at most 16 MiB\)/);
  }
});

it('refuses a body over the limit whose length nobody told', async () => {
  const big = Buffer.alloc(16 * 1024 * 1024 + 1, 0x20);
  const response = await fetch(`${api.url}/api/v1/objects/plan`, {
    method: 'POST',
    headers: JSON_TYPE,
    body: new Blob([big]).stream(),
    duplex: 'half',
  });
  expect([response.status, await response.text()]).toEqual([413, expect.stringMatching(/16 MiB/)]);
});

it.each([
  ['/api/v1/models/%ff', /not a valid url component/],
  ['/api/v1/pipeline-runs/%', /not a valid url component/],
  ['/nope%ff', /not a valid url component/],
  ['/api/2.0/mlflow/%ff', /not a valid url component/],
  [`/api/v1/pipeline-runs/${'x'.repeat(3_000)}`, /max.*length/i],
  ['/api/v1/pipeline-runs/%00', /a NUL/],
  ['/api/v1/pipeline-runs/%00/attempts', /a NUL/],
  ['/api/v1/pipeline-runs/%00/logs', /a NUL/],
  ['/api/v1/artifacts/%00', /a NUL/],
  ['/api/v1/models/%00', /Invalid model name/],
  ['/api/v1/pipeline-runs?pipeline=%00', /a NUL/],
  ['/api/v1/models?after=%00', /a NUL/],
  ['/api/v1/pipeline-runs?limit=1e999', /limit: /],
  ['/api/v1/pipeline-runs?limit=1&limit=2', /limit: /],
  ['/api/v1/pipeline-runs?limit=0', /limit: /],
  ['/api/v1/pipeline-runs?after=x', /is not the 'next' of a page/],
  ['/api/v1/pipeline-runs?nope=1', /Unrecognized key: "nope"/],
  ['/api/v1/models?nope=1', /Unrecognized key: "nope"/],
  ['/api/v1/pipeline-runs/x/logs?nope=1', /Unrecognized key: "nope"/],
  ['/api/v1/pipeline-runs/x/transitions?after=1e300', /after: /],
])('refuses the address %s', async (path, says) => {
  const reply = await callHttp(api.url, { path });
  const answer = answerOf({ method: 'GET', url: path }, reply);
  expect(answer).toMatchObject({ status: 400, message: expect.stringMatching(says) as string });
});
