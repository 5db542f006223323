import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../../../errors/app-error';
import type { RoutePermission } from '../../app';
import { acceptText } from '../../json-body';

/** How a field travels (proto2 JSON as MLflow's Python, Java and R clients really send it). */
export type FieldType =
  'string' | 'int64' | 'double' | 'bool' | 'enum' | 'strings' | FieldTable | [FieldTable];
export interface Field {
  readonly type: FieldType;
  /** Present and not the empty string. */
  readonly required?: boolean;
}
/** One request message: field name → how to read it. */
export interface FieldTable {
  readonly [name: string]: Field;
}

type ValueOf<T> = T extends 'string' | 'enum'
  ? string
  : T extends 'int64' | 'double'
    ? number
    : T extends 'bool'
      ? boolean
      : T extends 'strings'
        ? string[]
        : T extends readonly [infer Item extends FieldTable]
          ? Message<Item>[]
          : T extends FieldTable
            ? Message<T>
            : never;
/** The parsed message of a table; every field may be missing except the required ones. */
export type Message<T extends FieldTable> = {
  [K in keyof T]: T[K]['required'] extends true
    ? ValueOf<T[K]['type']>
    : ValueOf<T[K]['type']> | undefined;
};

/** Reads a request by its table: query string on GET, JSON body otherwise. */
export function readRequest<const T extends FieldTable>(
  request: FastifyRequest,
  table: T,
): Message<T> {
  return readMessage(request.method === 'GET' ? request.query : bodyOf(request), table);
}

function bodyOf(request: FastifyRequest): unknown {
  const { body } = request;
  if (typeof body !== 'string' || body.trim() === '') return {};
  const value = parseJson(body);
  // old clients send a JSON string that holds JSON
  return (typeof value === 'string' ? parseJson(value) : value) ?? {};
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AppError('INVALID_ARGUMENT', 'The body is not valid JSON.');
  }
}

/**
 * Reads one message; unknown fields are ignored, camelCase is accepted, nulls count as unset.
 * `path` is where it stands in the request, for error messages: 'metrics[0].'.
 */
export function readMessage<const T extends FieldTable>(
  value: unknown,
  table: T,
  path = '',
): Message<T> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    if (path !== '') throw wrong(path.slice(0, -1), value, 'an object');
    throw new AppError('INVALID_ARGUMENT', 'The request must be a JSON object.');
  }
  const given = value as Record<string, unknown>;
  const message: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(table)) {
    const raw = fieldOf(given, name) ?? undefined;
    if (field.required === true && (raw === undefined || raw === '')) {
      throw invalid(`Missing value for required parameter '${path}${name}'.`);
    }
    message[name] = raw === undefined ? undefined : readValue(raw, field.type, path + name);
  }
  return message as Message<T>;
}

/** A field under either of its names; both at once would leave open which of them was checked. */
function fieldOf(given: Readonly<Record<string, unknown>>, name: string): unknown {
  const alias = camelCase(name);
  const twice = alias !== name && given[name] !== undefined && given[alias] !== undefined;
  if (!twice) return given[name] ?? given[alias];
  throw invalid(`Request specifies both '${name}' and '${alias}'; provide only one of them.`);
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function readValue(raw: unknown, type: FieldType, name: string): unknown {
  if (Array.isArray(type)) {
    if (!Array.isArray(raw)) throw wrong(name, raw, 'a list');
    const [table] = type;
    return raw.map((item, i) => readMessage(item, table, `${name}[${i}].`));
  }
  if (typeof type === 'object') return readMessage(raw, type, `${name}.`);
  switch (type) {
    case 'string':
      return readString(raw, name);
    case 'strings':
      return (Array.isArray(raw) ? raw : [raw]).map((item) => readString(item, name));
    case 'int64':
      return readInteger(raw, name);
    case 'double':
      return readDouble(raw, name);
    case 'bool':
      return readBoolean(raw, name);
    case 'enum': // names and numbers are both sent
      return typeof raw === 'number' ? String(raw) : readString(raw, name);
  }
}

function readString(raw: unknown, name: string): string {
  if (typeof raw !== 'string') throw wrong(name, raw, 'a string');
  // Postgres cannot store it, and an error of the server would make clients retry for minutes
  if (raw.includes('\0')) throw wrong(name, raw, 'text without NUL');
  return raw;
}
function readInteger(raw: unknown, name: string): number {
  const value = typeof raw === 'string' && /^[+-]?\d+$/.test(raw.trim()) ? Number(raw) : raw;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  throw wrong(name, raw, 'an integer');
}
/** As Python's float() reads it, which is what MLflow's server calls. */
function readDouble(raw: unknown, name: string): number {
  if (typeof raw === 'number') return raw;
  const text = typeof raw === 'string' ? raw.trim() : '';
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  if (/^[+-]?inf(inity)?$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  if (/^[+-]?nan$/i.test(text)) return NaN;
  throw wrong(name, raw, 'a number');
}
function readBoolean(raw: unknown, name: string): boolean {
  if (typeof raw === 'boolean') return raw;
  if (typeof raw === 'string' && /^(true|false)$/i.test(raw)) return raw.toLowerCase() === 'true';
  throw wrong(name, raw, 'true or false');
}
function wrong(name: string, raw: unknown, expected: string): AppError {
  const shown = show(raw).slice(0, 100);
  return invalid(`Invalid value ${shown} for parameter '${name}' supplied: must be ${expected}.`);
}
function show(raw: unknown): string {
  try {
    return JSON.stringify(raw);
  } catch {
    return Array.isArray(raw) ? '[…]' : '{…}'; // nested deeper than the stack
  }
}
function invalid(text: string): AppError {
  const more = 'See the API docs for more information about request parameters.';
  return new AppError('INVALID_ARGUMENT', `${text} ${more}`);
}

/** A double as MLflow writes it: NaN as text, ±Infinity clamped to the largest finite number. */
export function writeDouble(value: number): number | string {
  if (Number.isNaN(value)) return 'NaN';
  if (value === Infinity) return Number.MAX_VALUE;
  return value === -Infinity ? -Number.MAX_VALUE : value;
}

/** Leaves out what is unset and every empty list, at every depth, as proto2 JSON does. */
export function writeMessage(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(writeMessage);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value)
    .filter(([, item]) => item !== undefined && item !== null)
    .filter(([, item]) => !(Array.isArray(item) && item.length === 0))
    .map(([key, item]) => [key, writeMessage(item)]);
  return Object.fromEntries(entries);
}

/** A route of MLflow: mounted under `/api/2.0/mlflow` and `/ajax-api/2.0/mlflow`. */
export interface MlflowRoute<T extends FieldTable> {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE' | readonly ('GET' | 'POST')[];
  readonly path: string; // behind the prefix, without a leading slash
  readonly permission: RoutePermission;
  readonly table: T;
  readonly handler: (
    message: Message<T>,
    request: FastifyRequest,
    reply: FastifyReply,
  ) => Promise<object>;
}
const PREFIXES = ['/api/2.0/mlflow', '/ajax-api/2.0/mlflow'];

/** Mounts a route; its answer is written by the proto2 rules. POST must be JSON. */
export function mountMlflow<const T extends FieldTable>(
  app: FastifyInstance,
  route: MlflowRoute<T>,
): void {
  const methods = typeof route.method === 'string' ? [route.method] : [...route.method];
  void app.register((scope, _options, done) => {
    // the rules for bodies are MLflow's: an empty one is {}, and DELETE and PATCH need no type
    acceptText(scope);
    for (const prefix of PREFIXES) {
      scope.route({
        method: methods,
        url: `${prefix}/${route.path}`,
        config: { permission: route.permission },
        handler: async (request, reply) => {
          checkContentType(request);
          const message = readRequest(request, route.table);
          const answer = writeMessage(await route.handler(message, request, reply));
          return reply.type('application/json').send(JSON.stringify(answer));
        },
      });
    }
    done();
  });
}

function checkContentType(request: FastifyRequest): void {
  if (request.method !== 'POST') return;
  const header = request.headers['content-type'];
  const [type = ''] = (header ?? '').split(';');
  if (type.trim().toLowerCase() === 'application/json') return;
  const text =
    header === undefined
      ? 'Bad Request. Content-Type header is missing.'
      : "Bad Request. Content-Type must be one of ['application/json'].";
  throw new AppError('INVALID_ARGUMENT', text);
}
