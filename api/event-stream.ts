import { once } from 'node:events';
import type { FastifyReply } from 'fastify';

/** A server-sent event (WHATWG HTML, 9.2). */
export interface ServerSentEvent {
  readonly id: string;
  readonly event: string;
  readonly data: unknown;
}
/** An answer that goes on: events, and comments that keep proxies from closing it. */
export interface EventStream {
  /** Aborted when the client has gone, or `end` was called. */
  readonly signal: AbortSignal;
  /** Waits while the client reads more slowly than we write. */
  send(event: ServerSentEvent): Promise<void>;
  end(): void;
}

/** Proxies close what is silent for 30 to 60 seconds. */
const BEAT_MS = 15_000;
/** A client comes back after this. */
const RETRY_MS = 2_000;

/** Takes over a reply and opens a stream on it. */
export function openEventStream(reply: FastifyReply): EventStream {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no', // nginx would hold events back
    connection: 'close', // the stream ends with its connection
  });
  raw.write(`retry: ${RETRY_MS}\n\n`);
  const closing = new AbortController();
  const { signal } = closing;
  const beat = setInterval(() => raw.write(': beat\n\n'), BEAT_MS);
  raw.on('error', () => undefined); // a client that went away is an end, not a failure
  raw.once('close', () => {
    clearInterval(beat);
    closing.abort();
  });
  return {
    signal,
    async send({ id, event, data }) {
      const text = `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
      if (raw.write(text) || signal.aborted) return;
      await once(raw, 'drain', { signal }).catch(() => undefined);
    },
    end() {
      raw.end();
    },
  };
}
