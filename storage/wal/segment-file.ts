import { AppError } from '../../errors/app-error';
import type { Disk, DiskFile } from './disk';
import { makeHeader, segmentName } from './segment';

/** A segment that takes frames. */
export interface Segment {
  readonly number: number;
  readonly id: string;
  readonly file: DiskFile;
}

const FULL = new Set(['ENOSPC', 'EDQUOT']);

/** Makes segment `number`, empty; on the disk when this returns if `durable`. */
export async function createSegment(
  disk: Disk,
  number: number,
  durable: boolean,
): Promise<Segment> {
  const header = makeHeader();
  const file = await disk.open(segmentName(number), 'create');
  try {
    await file.write(header.bytes, 0);
    if (durable) {
      await file.sync();
      await disk.syncFolder();
    }
    return { number, id: header.id, file };
  } catch (error) {
    await file.close();
    await disk.remove(segmentName(number)).catch(() => undefined);
    throw error;
  }
}

/** A full disk may get space again; anything else means that the disk cannot be trusted. */
export function storageError(cause: unknown): AppError {
  // by structure: errors of node's own modules are no `Error` of a test's realm
  const known = typeof cause === 'object' && cause !== null && 'code' in cause;
  const code = known ? String(cause.code) : '';
  if (FULL.has(code)) {
    return new AppError('STORAGE_FULL', 'The disk of the write-ahead log is full.', { cause });
  }
  const message = `The write-ahead log cannot use its disk (${code || 'unknown error'}).`;
  return new AppError('STORAGE_FAILED', message, { cause });
}
