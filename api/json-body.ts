import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AppError } from '../errors/app-error';

/** No request of ours is nested so deep, and whoever reads a value calls itself for each level. */
const DEPTH_MAX = 100;
const [QUOTE, BACKSLASH] = [0x22, 0x5c];

/** Reads bodies as JSON; scopes whose bodies are something else have parsers of their own. */
export function acceptJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  const options = { parseAs: 'buffer' } as const;
  app.addContentTypeParser<Buffer>('application/json', options, (request, body, parsed) => {
    const wrong = whyNoText(request, body) ?? whyTooDeep(body);
    if (wrong === undefined) void parse(request, body.toString('utf8'), parsed);
    else parsed(wrong);
  });
}

/** Hands bodies of any type to the routes as text. */
export function acceptText(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>('*', { parseAs: 'buffer' }, (request, body, parsed) => {
    const wrong = whyNoText(request, body);
    if (wrong === undefined) parsed(null, body.toString('utf8'));
    else parsed(wrong);
  });
}

function whyNoText(request: FastifyRequest, body: Buffer): AppError | undefined {
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    return invalid(`The body is compressed (content-encoding: ${encoding}): send it as it is.`);
  }
  return isUtf8(body) ? undefined : invalid('The body is not UTF-8 text: send it as UTF-8.');
}

function whyTooDeep(body: Buffer): AppError | undefined {
  let depth = 0;
  let isText = false;
  for (let i = 0; i < body.length; i += 1) {
    const byte = body[i];
    if (isText && byte === BACKSLASH) i += 1;
    else if (byte === QUOTE) isText = !isText;
    else if (isText) continue;
    else if (byte === 0x5b || byte === 0x7b) depth += 1;
    else if (byte === 0x5d || byte === 0x7d) depth -= 1;
    if (depth > DEPTH_MAX) {
      return invalid(`The body is nested more than ${DEPTH_MAX} levels deep: flatten it.`);
    }
  }
  return undefined;
}

function invalid(message: string): AppError {
  return new AppError('INVALID_ARGUMENT', message);
}
