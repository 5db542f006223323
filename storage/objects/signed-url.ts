import { createHmac, timingSafeEqual } from 'node:crypto';
import { AppError } from '../../errors/app-error';
import { checkKey } from './keys';
import type { PresentedUrl, SignedRight } from './store';

/** `<baseUrl>/objects/<key>?expires=…&sig=…`; a PUT also carries the digest and size it is for. */
export function signUrl(
  options: { readonly baseUrl: string; readonly signingKey: string },
  right: SignedRight,
  expiresSeconds: number,
): string {
  const expires = Math.floor(Date.now() / 1000) + expiresSeconds;
  const query = new URLSearchParams({ expires: String(expires) });
  if (right.method === 'PUT') {
    query.set('digest', right.digest);
    query.set('size', String(right.sizeBytes));
  }
  query.set('sig', signature(options.signingKey, right, expires));
  return `${options.baseUrl}/objects/${checkKey(right.key)}?${query.toString()}`;
}

/** HMAC-SHA256 of everything that the URL allows: method, key, expiry, digest and size. */
function signature(signingKey: string, right: SignedRight, expires: number): string {
  const bytes = right.method === 'PUT' ? [right.digest, right.sizeBytes] : [];
  const text = JSON.stringify([right.method, right.key, expires, ...bytes]);
  return createHmac('sha256', signingKey).update(text).digest('hex');
}

/** The right that a URL carries; PERMISSION_DENIED if it was changed or has expired. */
export function verifySignedUrl(signingKey: string, url: PresentedUrl): SignedRight {
  const key = checkKey(url.key);
  const expires = Number(url.query.get('expires'));
  const bytes = {
    digest: url.query.get('digest') ?? '',
    sizeBytes: Number(url.query.get('size')),
  };
  const right: SignedRight =
    url.method === 'PUT' ? { method: 'PUT', key, ...bytes } : { method: 'GET', key };
  const expected = Buffer.from(signature(signingKey, right, expires));
  const given = Buffer.from(url.query.get('sig') ?? '');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new AppError('PERMISSION_DENIED', 'The signature of this URL is not valid.');
  }
  if (expires * 1000 <= Date.now()) {
    throw new AppError('PERMISSION_DENIED', 'This URL has expired: ask for a new one.');
  }
  return right;
}
