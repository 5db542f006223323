import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { AppError } from '../../errors/app-error';
import type { PutOptions } from './store';

/**
 * Hands the chunks on and hashes them; `onEnd` sees digest and size before the stream ends. More
 * than `sizeBytesMax` bytes end it at once with CHECKSUM_MISMATCH: nobody may fill a disk by lying.
 */
export async function* hashed(
  body: Readable,
  { sizeBytesMax, onEnd }: { readonly sizeBytesMax: number; onEnd(got: PutOptions): void },
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  // a request must outlive a refusal, so that its sender can be told why: never destroyed here
  for await (const chunk of body.iterator({ destroyOnReturn: false })) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk as Uint8Array | string);
    sizeBytes += bytes.length;
    if (sizeBytes > sizeBytesMax) {
      const message = `Expected ${sizeBytesMax} bytes, got more.`;
      throw new AppError('CHECKSUM_MISMATCH', message);
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
