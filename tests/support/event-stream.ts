import { request, type IncomingMessage } from 'node:http';

export interface ReceivedEvent {
  readonly id: string;
  readonly event: string;
  readonly data: { readonly [name: string]: unknown };
}
/** A client of server-sent events, as far as a test needs one. */
export interface EventClient {
  readonly status: number;
  readonly contentType: string;
  readonly events: readonly ReceivedEvent[];
  /** The text of an answer that is no stream. */
  text(): string;
  /** Resolves once the server has ended the answer, or the connection has broken. */
  readonly ended: Promise<void>;
  /** Breaks the connection. */
  drop(): void;
}

/** Opens a stream; resolves with the head of the answer. */
export function openEvents(url: string, lastEventId?: string): Promise<EventClient> {
  return new Promise((resolve, reject) => {
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    const outgoing = request(url, { headers }, (reply) => {
      resolve(follow(reply));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

function follow(reply: IncomingMessage): EventClient {
  const events: ReceivedEvent[] = [];
  let text = '';
  let rest = '';
  reply.setEncoding('utf8');
  reply.on('data', (chunk: string) => {
    text += chunk;
    const blocks = (rest + chunk).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map((line) => splitAt(line, ': ')));
      const [id, event, data] = ['id', 'event', 'data'].map((name) => fields.get(name));
      if (id === undefined || event === undefined || data === undefined) continue;
      events.push({ id, event, data: JSON.parse(data) as ReceivedEvent['data'] });
    }
  });
  reply.on('error', () => undefined); // dropped
  return {
    status: reply.statusCode ?? 0,
    contentType: reply.headers['content-type'] ?? '',
    events,
    text: () => text,
    ended: new Promise((resolve) => reply.once('close', resolve)),
    drop: () => reply.destroy(),
  };
}

function splitAt(line: string, separator: string): [string, string] {
  const at = line.indexOf(separator);
  return [line.slice(0, at), line.slice(at + separator.length)];
}
