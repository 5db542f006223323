import fc from 'fast-check';
import type { FastifyInstance } from 'fastify';
import { createApp } from '../../api/app';
import { mlflowErrorBody } from '../../api/routes/mlflow/errors';
import {
  mountMlflow,
  readMessage,
  writeDouble,
  writeMessage,
  type FieldTable,
} from '../../api/routes/mlflow/wire';
import { AppError } from '../../errors/app-error';
import { ERRORS, type ErrorCode } from '../../errors/codes';
import { callHttp } from '../support/http';

const ITEM = { key: { type: 'string', required: true }, value: { type: 'double' } } as const;
const TABLE = {
  run_id: { type: 'string' },
  max_results: { type: 'int64' },
  value: { type: 'double' },
  archive_existing: { type: 'bool' },
  view_type: { type: 'enum' },
  order_by: { type: 'strings' },
  items: { type: [ITEM] },
  inner: { type: ITEM },
} satisfies FieldTable;
const read = (message: unknown): Record<string, unknown> => readMessage(message, TABLE);
const set = (message: unknown): Record<string, unknown> =>
  Object.fromEntries(Object.entries(read(message)).filter(([, value]) => value !== undefined));

describe('readMessage', () => {
  it('reads every type as the Python, Java and R clients send it', () => {
    const wanted = { max_results: 10, archive_existing: true, value: 0.5, view_type: '2' };
    expect(set({ max_results: 10, archive_existing: true, value: 0.5, view_type: 2 })).toEqual(wanted); // prettier-ignore
    expect(set({ max_results: '10', archive_existing: 'TRUE', value: '0.5', view_type: '2' })).toEqual(wanted); // prettier-ignore
    expect(set({ maxResults: 10, archiveExisting: 'true', value: 5e-1, viewType: '2' })).toEqual(wanted); // prettier-ignore
    expect(set({ order_by: 'a' })).toEqual({ order_by: ['a'] }); // a query string with one of them
    expect(set({ order_by: ['a', 'b'] })).toEqual({ order_by: ['a', 'b'] });
    const item = { key: 'k', value: NaN };
    const given = { key: 'k', value: 'NaN', other: 1 };
    expect(set({ items: [given], inner: given })).toEqual({ items: [item], inner: item });
  });

  it('takes null for unset and ignores what it does not know', () => {
    expect(set({ run_id: null, constructor: 1, __proto__: { run_id: 'x' }, more: {} })).toEqual({});
    expect(set(JSON.parse('{"__proto__": {"run_id": "x"}}'))).toEqual({});
  });

  it('reads any integer and any double, as a number or as text', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (max) => {
        expect(set({ max_results: max })).toEqual({ max_results: max });
        expect(set({ max_results: String(max) })).toEqual({ max_results: max });
      }),
    );
    fc.assert(
      fc.property(fc.double(), (value) => {
        expect(set({ value })).toEqual({ value });
        expect(set({ value: String(value) })).toEqual({ value: value === 0 ? 0 : value });
        expect(set({ value: writeDouble(value) })['value']).toBe(clamp(value));
      }),
    );
  });

  it.each([
    [{ run_id: 5 }, '5', 'run_id'],
    [{ run_id: ['a', 'b'] }, '["a","b"]', 'run_id'], // named twice in a query string
    [{ run_id: 'a\0b' }, '"a\\u0000b"', 'run_id'],
    [{ max_results: 1.5 }, '1.5', 'max_results'],
    [{ max_results: '1.5' }, '"1.5"', 'max_results'],
    [{ max_results: 2 ** 53 }, '9007199254740992', 'max_results'],
    [{ max_results: true }, 'true', 'max_results'],
    [{ value: '0x10' }, '"0x10"', 'value'],
    [{ value: '1_0' }, '"1_0"', 'value'],
    [{ value: '' }, '""', 'value'],
    [{ value: [1] }, '[1]', 'value'],
    [{ archive_existing: 'yes' }, '"yes"', 'archive_existing'],
    [{ archive_existing: 1 }, '1', 'archive_existing'],
    [{ items: {} }, '{}', 'items'],
    [{ items: [{ key: 'k' }, 5] }, '5', 'items[1]'],
    [{ items: [{ key: 'k', value: 'x' }] }, '"x"', 'items[0].value'],
    [{ inner: 'x' }, '"x"', 'inner'],
    [{ order_by: [1] }, '1', 'order_by'],
  ])('refuses %j', (message, shown, name) => {
    const text = `Invalid value ${shown} for parameter '${name}' supplied: `;
    expect(() => read(message)).toThrow(text);
  });

  it.each([[{}], [{ key: null }], [{ key: '' }]])('asks for what is required: %j', (item) => {
    const text = "Missing value for required parameter 'items[1].key'.";
    expect(() => read({ items: [{ key: 'a' }, item] })).toThrow(text);
  });

  it('refuses both names of one field at once: who checked which?', () => {
    const twice = { run_id: 'a', runId: 'b' };
    expect(() => read(twice)).toThrow("Request specifies both 'run_id' and 'runId'");
  });

  it.each([[[]], [5], ['x'], [null]])('refuses %j for a message', (message) => {
    expect(() => read(message)).toThrow('The request must be a JSON object.');
  });
});

/** MLflow's doubles end at the largest finite one. */
function clamp(value: number): number {
  if (value === Infinity) return Number.MAX_VALUE;
  return value === -Infinity ? -Number.MAX_VALUE : value;
}

describe('writeMessage', () => {
  it('leaves out what is unset and empty lists, and keeps 0, false and empty text', () => {
    const inner = { zero: 0, no: false, empty: '', none: undefined, nothing: null, list: [] };
    const kept = { zero: 0, no: false, empty: '' };
    expect(writeMessage({ ...inner, inner, inners: [inner, inner], texts: ['', 'a'] })).toEqual({
      ...kept,
      inner: kept,
      inners: [kept, kept],
      texts: ['', 'a'],
    });
  });

  it('writes whatever it is given without unset fields, and so again', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(writeMessage({ value }));
        expect(text).not.toMatch(/":(null|\[\])/);
        expect(JSON.stringify(writeMessage(JSON.parse(text)))).toBe(text);
      }),
    );
  });

  it('writes doubles that every JSON parser takes', () => {
    expect([NaN, Infinity, -Infinity, 1.5].map(writeDouble)).toEqual([
      'NaN',
      1.7976931348623157e308,
      -1.7976931348623157e308,
      1.5,
    ]);
  });
});

describe('mountMlflow', () => {
  let app: FastifyInstance;
  let address: string;
  beforeAll(async () => {
    app = await createApp({
      authenticate: () => Promise.reject(new AppError('UNAUTHENTICATED', 'nobody')),
      routes: (routes) => {
        const table = { name: { type: 'string', required: true } } as const;
        for (const method of ['GET', 'POST', 'PATCH', 'DELETE'] as const) {
          const handler = ({ name }: { name: string }): Promise<object> =>
            Promise.resolve({ name, none: [] });
          mountMlflow(routes, { method, path: 'echo', permission: 'public', table, handler });
        }
      },
    });
    address = await app.listen({ host: '127.0.0.1', port: 0 });
  });
  afterAll(() => app.close());

  const JSON_TYPE = { 'content-type': 'application/json' };
  const send = async (method: string, body: string, headers: Record<string, string>) => {
    const reply = await callHttp(`${address}/api/2.0/mlflow/echo`, { method, body, headers });
    const answer = reply.json<{ message?: string }>();
    return reply.status === 200 ? answer : `${reply.status} ${answer.message ?? ''}`;
  };
  const MISSING = /^400 Missing value for required parameter 'name'\./;

  it.each(['/api', '/ajax-api'])('answers under %s', async (prefix) => {
    const url = `${address}${prefix}/2.0/mlflow/echo`;
    const reply = await callHttp(`${url}?name=%C3%BC&other=1`);
    expect(reply.json()).toEqual({ name: 'ü' });
    expect(reply.headers['content-type']).toMatch(/^application\/json/);
    const refused = await callHttp(`${url}?name=a&name=b`);
    expect(refused.json()).toMatchObject({ error_code: 'INVALID_PARAMETER_VALUE' });
    const unknown = await callHttp(`${url}/more`);
    expect([unknown.status, unknown.json<{ error_code: string }>().error_code]).toEqual([
      404,
      'ENDPOINT_NOT_FOUND',
    ]);
  });

  it('reads JSON, also twice encoded; an empty body is an empty message', async () => {
    const body = JSON.stringify({ name: 'ü' });
    expect(await send('POST', body, JSON_TYPE)).toEqual({ name: 'ü' });
    expect(await send('POST', JSON.stringify(body), JSON_TYPE)).toEqual({ name: 'ü' });
    const type = { 'content-type': 'Application/JSON; charset=utf-8' };
    expect(await send('POST', body, type)).toEqual({ name: 'ü' });
    for (const empty of ['', ' ', 'null', '{}']) {
      expect(await send('POST', empty, JSON_TYPE)).toMatch(MISSING);
    }
    for (const broken of ['{', '"{"', '\uFFFD']) {
      expect(await send('POST', broken, JSON_TYPE)).toBe('400 The body is not valid JSON.');
    }
    expect(await send('POST', '[]', JSON_TYPE)).toBe('400 The request must be a JSON object.');
  });

  it('asks POST for its type, and PATCH and DELETE for none', async () => {
    const body = JSON.stringify({ name: 'a' });
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    expect(await send('POST', body, {})).toBe('400 Bad Request. Content-Type header is missing.');
    expect(await send('POST', body, form)).toBe(
      "400 Bad Request. Content-Type must be one of ['application/json'].",
    );
    for (const method of ['PATCH', 'DELETE'] as const) {
      for (const headers of [{}, form, JSON_TYPE]) {
        expect(await send(method, body, headers)).toEqual({ name: 'a' });
        expect(await send(method, '', headers)).toMatch(MISSING);
      }
    }
  });
});

describe('mlflowErrorBody', () => {
  const codes = Object.keys(ERRORS) as ErrorCode[];
  /** What MLflow's Python client sends again, for minutes. */
  const RETRIED = [408, 429, 500, 502, 503, 504];

  it.each(codes.filter((code) => ERRORS[code].status < 500))(
    '%s makes clients give up at once, unless a repetition helps',
    (code) => {
      const { status, body } = mlflowErrorBody(new AppError(code, 'why'));
      expect(RETRIED.includes(status)).toBe(ERRORS[code].retryable);
      expect(body.message).toBe('why');
    },
  );

  it("uses MLflow's codes, which its clients act on", () => {
    const answer = (code: ErrorCode): unknown[] => {
      const { status, body } = mlflowErrorBody(new AppError(code, ''));
      return [status, body.error_code];
    };
    expect(answer('ALREADY_EXISTS')).toEqual([400, 'RESOURCE_ALREADY_EXISTS']);
    expect(answer('NOT_FOUND')).toEqual([404, 'RESOURCE_DOES_NOT_EXIST']);
    expect(answer('INVALID_ARGUMENT')).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect(answer('ROUTE_NOT_FOUND')).toEqual([404, 'ENDPOINT_NOT_FOUND']);
    expect(answer('RATE_LIMITED')).toEqual([429, 'REQUEST_LIMIT_EXCEEDED']);
    expect(answer('STORAGE_FAILED')).toEqual([503, 'TEMPORARILY_UNAVAILABLE']);
    expect(answer('INTERNAL')).toEqual([500, 'INTERNAL_ERROR']);
  });
});
