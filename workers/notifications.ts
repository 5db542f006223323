import { lookup } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../errors/app-error';
import type { Notification, SendNotification } from '../pipelines/notifications';

interface SenderOptions {
  /** Where messages without a URL of their own go; they go nowhere without it. */
  readonly url: string | undefined;
  /** Hosts with private addresses that a message's own URL may name. */
  readonly hosts: readonly string[];
  /** Before the second try, the third, …; all must end well before the step's own 90 s. */
  readonly delaysMs?: readonly number[];
}

const ANSWER_MS = 10_000;
const DELAYS_MS = [1_000, 4_000];

const PRIVATE = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['169.254.0.0', 16],
  ['172.16.0.0', 12], ['192.0.0.0', 24], ['192.168.0.0', 16], ['198.18.0.0', 15], ['224.0.0.0', 3],
] as const) PRIVATE.addSubnet(network, prefix, 'ipv4'); // prettier-ignore
for (const [network, prefix] of [
  ['::', 96], ['::ffff:0:0', 96], ['64:ff9b::', 96], ['fc00::', 7], ['fe80::', 10], ['ff00::', 8],
] as const) PRIVATE.addSubnet(network, prefix, 'ipv6'); // prettier-ignore

/**
 * Sends messages as JSON, each up to three times while the receiver does not answer or answers with 429
 * or 5xx; a try takes at most 10 s, and redirects are not followed. A URL in a pipeline must not reach
 * into the network around the control worker: private addresses are refused, also behind a name, unless
 * `hosts` names the host. INVALID_ARGUMENT says why a message did not arrive.
 */
export function createSender({
  url: ownUrl,
  hosts,
  delaysMs = DELAYS_MS,
}: SenderOptions): SendNotification {
  return async ({ url: given = ownUrl, body, key }) => {
    if (given === undefined) return;
    const url = checkUrl(given);
    const isTrusted = given === ownUrl || hosts.includes(url.hostname);
    if (!isTrusted && isPrivate(url.hostname)) throw refused(url, whyPrivate(url));
    let failed = '';
    for (const delayMs of [0, ...delaysMs]) {
      if (delayMs > 0) await sleep(delayMs);
      const answer = await post(url, { body, key, isTrusted });
      if (answer.isTaken) return;
      if (answer.isFinal) throw refused(url, answer.why);
      failed = answer.why;
    }
    throw refused(url, `${failed}, ${delaysMs.length + 1} times`);
  };
}

function refused({ host }: URL, why: string): AppError {
  // the rest of the URL may be a secret
  return new AppError('INVALID_ARGUMENT', `The message did not get to ${host}: ${why}.`);
}

/** The URL, or INVALID_ARGUMENT that says what is wrong with it. */
function checkUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    const rule = 'begin the url with http:// or https://';
    throw new AppError('INVALID_ARGUMENT', `The url of the message is none: ${rule}.`);
  }
  if (url.username !== '' || url.password !== '') {
    const rule = 'write it without a user and a password';
    throw new AppError('INVALID_ARGUMENT', `The url to ${url.host} holds a login: ${rule}.`);
  }
  return url;
}

/** True for a private address; a name is looked up when it is connected to. */
function isPrivate(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, '');
  const version = isIP(address);
  return version !== 0 && PRIVATE.check(address, version === 4 ? 'ipv4' : 'ipv6');
}
function whyPrivate({ hostname }: { readonly hostname: string }): string {
  return `${hostname} is a private address, and ANNEAL_NOTIFY_HOSTS does not name it`;
}

type Answer =
  | { readonly isTaken: true }
  | { readonly isTaken: false; readonly isFinal: boolean; readonly why: string };

/** One try; it never rejects. */
function post(
  url: URL,
  { body, key, isTrusted }: Pick<Notification, 'body' | 'key'> & { readonly isTrusted: boolean },
): Promise<Answer> {
  const text = JSON.stringify(body);
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'idempotency-key': key, // the same in every try, so that a receiver can tell them
  };
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  const signal = AbortSignal.timeout(ANSWER_MS);
  const options = { method: 'POST', headers, signal, agent: false as const };
  return new Promise((resolve) => {
    const request = send(url, isTrusted ? options : { ...options, lookup: lookupPublic });
    request.on('response', (response) => {
      response.resume();
      const { statusCode = 0 } = response;
      if (statusCode >= 200 && statusCode < 300) resolve({ isTaken: true });
      const isFinal = statusCode !== 429 && statusCode < 500;
      resolve({ isTaken: false, isFinal, why: `it answered ${statusCode}` });
    });
    request.on('error', (error) => {
      const why = signal.aborted ? `no answer within ${ANSWER_MS / 1000} s` : error.message;
      resolve({ isTaken: false, isFinal: error instanceof PrivateAddress, why });
    });
    request.end(text);
  });
}

class PrivateAddress extends Error {}

/** Looks a name up as ever, but gives public addresses only: what was checked is connected to. */
const lookupPublic: LookupFunction = (hostname, options, answer) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    const given = error === null ? addresses : [];
    const open = given.filter(({ address }) => !isPrivate(address));
    const [first] = open;
    if (error !== null) answer(error, '');
    else if (first === undefined) answer(new PrivateAddress(whyPrivate({ hostname })), '');
    else if (options.all === true) answer(null, open);
    else answer(null, first.address, first.family);
  });
};
