import { crc32 } from 'node:zlib';
import type { Disk } from './disk';
import { HEADER_BYTES } from './segment';

/** Everything before it is in the stores; offset in bytes within the segment. */
export interface Checkpoint {
  readonly segment: number;
  readonly offset: number;
}

const NAME = 'checkpoint';
const TEMPORARY = 'checkpoint.tmp';
/** Before the first block was stored: segments count from 1. */
export const START: Checkpoint = { segment: 0, offset: HEADER_BYTES };

/**
 * The newest checkpoint. A damaged one counts as none: all blocks that are still there are then
 * stored again, which their tokens make harmless.
 */
export async function readCheckpoint(disk: Disk): Promise<Checkpoint | 'damaged'> {
  if (!(await disk.list()).includes(NAME)) return START;
  const file = await disk.open(NAME, 'existing');
  const bytes = await file.read(0, await file.size()).finally(() => file.close());
  const match = /^(\d+) (\d+) (\d+)\n$/.exec(bytes.toString('latin1'));
  if (match === null || crc32(`${match[1]} ${match[2]}`) !== Number(match[3])) return 'damaged';
  return { segment: Number(match[1]), offset: Number(match[2]) };
}

/** Replaces the checkpoint in one step; `durable` false skips the syncs. */
export async function writeCheckpoint(
  disk: Disk,
  checkpoint: Checkpoint,
  durable: boolean,
): Promise<void> {
  const text = `${checkpoint.segment} ${checkpoint.offset}`;
  const file = await disk.open(TEMPORARY, 'create');
  try {
    await file.write(Buffer.from(`${text} ${crc32(text)}\n`, 'latin1'), 0);
    if (durable) await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(TEMPORARY, NAME);
  if (durable) await disk.syncFolder();
}
