import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { AppError } from '../../errors/app-error';
import type { PutOptions } from './store';

interface HashedOptions {
  readonly sizeBytesMax: number;
  readonly onEnd: (got: PutOptions) => void;
}

/**
 * Hands the chunks on and hashes them; `onEnd` sees digest and size before the stream ends. More
 * than `sizeBytesMax` bytes end it at once with CHECKSUM_MISMATCH: nobody may fill a disk by lying.
 * Call it before any wait: it also keeps an error of the stream until the first chunk is asked for.
 */
export function hashed(body: Readable, options: HashedOptions): AsyncGenerator<Buffer> {
  body.on('error', () => undefined); // unheard, it would end the process; the loop below throws it
  return hashChunks(body, options);
}

async function* hashChunks(
  body: Readable,
  { sizeBytesMax, onEnd }: HashedOptions,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  // a request must outlive a refusal, so that its sender can be told why: never destroyed here
  for await (const chunk of body.iterator({ destroyOnReturn: false })) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk as Uint8Array | string);
    sizeBytes += bytes.length;
    if (sizeBytes > sizeBytesMax) {
      throw new AppError('CHECKSUM_MISMATCH', `Expected ${sizeBytesMax} bytes, got more.`);
    }
    hash.update(bytes);
    yield bytes;
  }
  onEnd({ digest: hash.digest('hex'), sizeBytes });
}

/** CHECKSUM_MISMATCH unless digest and size are those that were announced. */
export function assertSame(got: PutOptions, expected: PutOptions): void {
  if (got.digest === expected.digest && got.sizeBytes === expected.sizeBytes) return;
  const want = `${expected.sizeBytes} bytes with SHA-256 ${expected.digest}`;
  const message = `Expected ${want}, got ${got.sizeBytes} with ${got.digest}.`;
  throw new AppError('CHECKSUM_MISMATCH', message);
}
