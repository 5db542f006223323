import type { IncomingHttpHeaders } from 'node:http';
import type { Config } from '../../config/config';
import { AppError } from '../../errors/app-error';

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]'];
const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i;
const HTTP_PORT = 80; // browsers leave it out of Host and Origin

/**
 * FORBIDDEN_ORIGIN unless the request was made to a loopback name with our port and, where a
 * browser sends an Origin, by a page of that same address. A foreign page cannot forge either
 * header, so this stops DNS rebinding and cross-site requests to a server without tokens.
 */
export function assertOwnAddress(headers: IncomingHttpHeaders, port: number): void {
  const host = headers.host?.toLowerCase() ?? '';
  const own = LOOPBACK_NAMES.flatMap((name) =>
    port === HTTP_PORT ? [name, `${name}:${port}`] : [`${name}:${port}`],
  );
  if (!own.includes(host)) {
    throw new AppError('FORBIDDEN_ORIGIN', 'The Host header does not name this server.');
  }
  const { origin } = headers;
  if (origin !== undefined && origin.toLowerCase() !== `http://${host}`) {
    throw new AppError('FORBIDDEN_ORIGIN', 'The Origin header names another site.');
  }
}

/** CONFIG_INVALID if the api would let everyone in from the network without a token. */
export function assertSafeBind(config: Pick<Config, 'ANNEAL_HOST' | 'ANNEAL_AUTH'>): void {
  if (config.ANNEAL_AUTH === 'open' && !LOOPBACK_HOST.test(config.ANNEAL_HOST)) {
    const message =
      `ANNEAL_HOST=${config.ANNEAL_HOST} is not a loopback address, so ANNEAL_AUTH=open would ` +
      'let everyone on the network in; set ANNEAL_AUTH=token.';
    throw new AppError('CONFIG_INVALID', message);
  }
}
