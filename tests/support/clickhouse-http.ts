import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync, gzipSync } from 'node:zlib';
import { drainPending, Session } from 'chdb';

/** A front that speaks ClickHouse's HTTP protocol before the embedded engine. */
export interface ClickHouseHttp {
  readonly url: string;
  /** Every SQL text that came in. */
  readonly statements: string[];
  /** The next requests that contain `text` get this treatment, `times` times. */
  fail(text: string, how: 'hang-up' | 'lose-answer' | 'memory', times: number): void;
  close(): Promise<void>;
}

type Failure = { text: string; how: 'hang-up' | 'lose-answer' | 'memory'; times: number };
interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** Parameters of the URL that are no settings. */
const NOT_SETTINGS = new Set([
  'query',
  'query_id',
  'database',
  'default_format',
  'session_id',
  'role',
  'wait_end_of_query',
  'enable_http_compression',
  'send_progress_in_http_headers',
  'http_headers_progress_interval_ms',
]);
/** Statuses as ClickHouse's HTTPHandler gives them; 500 for the rest. */
const STATUS: Readonly<Record<string, number>> = {
  '47': 404,
  '60': 404,
  '81': 404,
  '62': 400,
  '457': 400,
  '516': 403,
};

/** Serves a data folder on a free port of the loopback; one engine per process, as ever. */
export async function startClickHouseHttp(folder: string): Promise<ClickHouseHttp> {
  const keeper = new Session(folder); // keeps the engine up between requests
  const failures: Failure[] = [];
  const statements: string[] = [];
  const server = createServer((request, response) => {
    void serve(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const sent = Buffer.concat(chunks);
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
    const sql = [url.searchParams.get('query') ?? '', body.toString()].filter(Boolean).join('\n');
    statements.push(sql);
    const failure = failures.find((one) => one.times > 0 && sql.includes(one.text));
    if (failure !== undefined) failure.times -= 1;
    if (failure?.how === 'hang-up') return void response.destroy();
    const answer =
      failure?.how === 'memory'
        ? refusal('Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)')
        : await answerTo({ folder, request, url, sql });
    if (failure?.how === 'lose-answer') return void response.destroy();
    const zip = url.searchParams.get('enable_http_compression') === '1';
    const encoding = zip ? { 'Content-Encoding': 'gzip' } : {};
    response.writeHead(answer.status, { ...answer.headers, ...encoding });
    response.end(zip ? gzipSync(answer.body) : answer.body);
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    statements,
    fail: (text, how, times) => failures.push({ text, how, times }),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      keeper.close();
      await drainPending();
    },
  };
}

async function answerTo(from: {
  folder: string;
  request: IncomingMessage;
  url: URL;
  sql: string;
}): Promise<Answer> {
  const { request, url, sql } = from;
  if (url.pathname === '/ping') return { status: 200, body: Buffer.from('Ok.\n'), headers: {} };
  const basic = `Basic ${Buffer.from('default:').toString('base64')}`;
  if ((request.headers.authorization ?? basic) !== basic) {
    return refusal('Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)');
  }
  if (sql === '') return refusal('Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)');
  const session = new Session(from.folder); // settings end with their request
  try {
    const params: Record<string, string> = {};
    for (const [name, value] of url.searchParams) {
      if (name.startsWith('param_')) params[name.slice(6)] = unescape(value);
      else if (!NOT_SETTINGS.has(name)) {
        await session.queryAsync(`SET ${name} = '${value.replaceAll("'", "''")}'`);
      }
    }
    const format = url.searchParams.get('default_format') ?? 'TabSeparated';
    const result =
      Object.keys(params).length === 0
        ? await session.queryAsync(sql, { format })
        : await session.queryBindAsync(sql, params, { format });
    const summary = { read_rows: String(result.rowsRead), elapsed_ns: '1000' };
    const headers = {
      'X-ClickHouse-Query-Id': url.searchParams.get('query_id') ?? 'unknown',
      'X-ClickHouse-Summary': JSON.stringify(summary),
      'X-ClickHouse-Format': format,
    };
    return { status: 200, body: Buffer.from(result.bytes()), headers };
  } catch (error) {
    return refusal(error instanceof Error ? error.message : String(error));
  } finally {
    session.close();
  }
}

function refusal(message: string): Answer {
  const code = /Code: (\d+)/.exec(message)?.[1] ?? '1002';
  const text = message.startsWith('Code: ') ? message : `Code: ${code}. DB::Exception: ${message}`;
  const headers = { 'X-ClickHouse-Exception-Code': code };
  return { status: STATUS[code] ?? 500, body: Buffer.from(`${text}\n`), headers };
}

/** Values of parameters are escaped as in TabSeparated. */
function unescape(text: string): string {
  const letters: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', '0': '\0' };
  return text.replace(/\\(.)/gs, (_, letter: string) => letters[letter] ?? letter);
}
