import { request } from 'node:http';

export interface HttpCall {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Sent as it stands, instead of the URL's own path, which every URL parser tidies up. */
  readonly path?: string;
}
export interface HttpReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The body, read as what the test expects it to be. */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
  json<T>(): T;
}

/** One HTTP request whose headers, Host included, are exactly those given (fetch forbids that). */
export function callHttp(url: string, call: HttpCall = {}): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', body } = call;
    const path = call.path === undefined ? {} : { path: call.path };
    // node gives a DELETE's body no length by itself, and the server would read it as a request
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
    const headers = { ...length, ...call.headers };
    const outgoing = request(url, { method, headers, ...path }, (reply) => {
      const chunks: Buffer[] = [];
      reply.on('data', (chunk: Buffer) => chunks.push(chunk));
      reply.on('error', reject);
      reply.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const { statusCode: status = 0 } = reply;
        // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
        const json = <T>(): T => JSON.parse(text) as T;
        resolve({ status, headers: reply.headers, text, json });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
