import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Readable } from 'node:stream';
import { AppError } from '../errors/app-error';
import type { ByteRange } from '../storage/objects/store';

/** Bytes of any size pass through; what is too much is refused by whoever stores them. */
const UNLIMITED = Number.MAX_SAFE_INTEGER;
/** For a route that takes a stream. */
export const STREAM_BODY = { bodyLimit: UNLIMITED } as const;

/** Mounts routes in a scope of their own, where a body of any type is a stream, never in memory. */
export function mountStreams(app: FastifyInstance, routes: (scope: FastifyInstance) => void): void {
  void app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, parsed) => {
      parsed(null, payload);
    });
    // after a refusal the rest must still be read: a client that is stuck in sending sees no answer
    scope.addHook('onError', async (request) => {
      request.raw.resume();
      return Promise.resolve();
    });
    routes(scope);
    done();
  });
}

/** The body of a request in such a scope; a request without one is an empty stream. */
export function streamOf(request: FastifyRequest): Readable {
  return (request.body as Readable | undefined) ?? request.raw;
}

/** The path behind the prefix of a `/*` route, percent-decoded once. */
export function wildcardOf(request: FastifyRequest): string {
  return (request.params as { '*': string })['*'];
}

/**
 * Bytes that a stranger may have written, told to be saved and never shown: no page of ours runs
 * their scripts.
 */
export function sendBytes(
  reply: FastifyReply,
  file: { readonly name: string; readonly sizeBytes: number; readonly body: Readable },
): FastifyReply {
  return reply
    .header('content-length', file.sizeBytes)
    .header('content-disposition', `attachment; filename*=UTF-8''${encodeName(file.name)}`)
    .header('x-content-type-options', 'nosniff')
    .header('content-security-policy', "default-src 'none'; sandbox")
    .type('application/octet-stream')
    .send(file.body);
}

/** RFC 8187: also these four, which encodeURIComponent leaves alone. */
function encodeName(name: string): string {
  return encodeURIComponent(name).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/**
 * The range that a request asks for, or undefined for the whole (RFC 9110: a range that cannot be
 * read is ignored, and so are several at once). A range behind the end is INVALID_ARGUMENT.
 */
export function rangeOf(request: FastifyRequest, sizeBytes: number): ByteRange | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return undefined;
  const start = first === '' ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  if (start < end) return { start, end };
  throw new AppError('INVALID_ARGUMENT', `The range is not within the ${sizeBytes} bytes.`);
}
