import type { Disk } from './disk';
import { readCheckpoint, START } from './checkpoint';
import {
  BOUNDARY_BYTES,
  HEADER_BYTES,
  readHeader,
  scan,
  segmentName,
  segmentNumber,
  type Damage,
  type Frame,
} from './segment';

/** Frozen bytes of one segment; `token` is the same at every try to store them. */
export interface Block {
  readonly segment: number;
  readonly id: string;
  readonly from: number;
  readonly to: number;
  readonly rows: number; // 0 where the record that counted them is lost
  readonly token: string;
}
/** The segment that takes new frames. */
export interface Tail {
  readonly number: number;
  readonly id: string;
  readonly size: number;
  readonly openFrom: number; // where the block that is not frozen yet begins
}
/** What a log holds when it is opened. */
export interface Recovered {
  readonly blocks: readonly Block[];
  readonly segments: readonly number[];
  readonly tail: Tail | undefined; // undefined: begin segment `next`
  readonly next: number;
}
/** Takes one line of a structured log. */
export type Log = (line: Record<string, unknown>) => void;

/** The block [from, to) of a segment. */
export function makeBlock(
  segment: { readonly number: number; readonly id: string },
  part: { readonly from: number; readonly to: number; readonly rows: number },
): Block {
  const token = `${segment.id}:${part.from}-${part.to}`;
  return { segment: segment.number, id: segment.id, ...part, token };
}

/**
 * Reads the log: the blocks that are not checkpointed, oldest first, and where to go on. A torn end
 * of the last segment is cut off; other damage is copied aside, reported and skipped.
 */
export async function recover(disk: Disk, log: Log): Promise<Recovered> {
  const names = await disk.list();
  const segments = names
    .map(segmentNumber)
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b);
  const read = await readCheckpoint(disk);
  if (read === 'damaged') {
    log({ level: 'error', msg: 'the checkpoint of the log is damaged: storing every block again' });
  }
  const checkpoint = read === 'damaged' ? START : read;
  const blocks: Block[] = [];
  let tail: Tail | undefined;
  for (const number of segments) {
    if (number < checkpoint.segment) continue;
    const from = number === checkpoint.segment ? checkpoint.offset : HEADER_BYTES;
    const last = number === segments.at(-1);
    const found = await recoverSegment({ disk, log }, { number, from, last });
    blocks.push(...found.blocks);
    tail = found.tail;
  }
  const lastNumber = segments.at(-1) ?? 0;
  const next = Math.max(lastNumber, checkpoint.segment) + 1;
  // without syncs a power cut can leave a log shorter than its checkpoint: never write below it
  const behind = tail?.number === checkpoint.segment && tail.size < checkpoint.offset;
  return { blocks, segments, tail: behind ? undefined : tail, next };
}

interface Deps {
  readonly disk: Disk;
  readonly log: Log;
}
interface Place {
  readonly number: number;
  readonly from: number;
  readonly last: boolean;
}

async function recoverSegment(
  deps: Deps,
  place: Place,
): Promise<{ blocks: Block[]; tail: Tail | undefined }> {
  const file = await deps.disk.open(segmentName(place.number), 'existing');
  try {
    const bytes = await file.read(0, await file.size());
    const id = readHeader(bytes);
    if (id === undefined) {
      // a header is synced before the first frame is taken, so a torn one has no frames behind it
      if (!place.last || bytes.length > HEADER_BYTES) {
        await reportDamage(deps, place.number, [{ from: 0, to: bytes.length }]);
      }
      if (place.last) await deps.disk.remove(segmentName(place.number));
      return { blocks: [], tail: undefined };
    }
    const found = scan(id, bytes.subarray(HEADER_BYTES), HEADER_BYTES);
    const torn = place.last ? found.damage.find((part) => part.to === bytes.length) : undefined;
    const damage = found.damage.filter((part) => part !== torn && part.to > place.from);
    if (damage.length > 0) await reportDamage(deps, place.number, damage);
    if (torn !== undefined) await file.truncate(torn.from);
    const size = torn?.from ?? bytes.length;
    const { blocks, openFrom } = blocksOf({ number: place.number, id }, found.frames);
    if (!place.last && openFrom < size) {
      blocks.push(makeBlock({ number: place.number, id }, { from: openFrom, to: size, rows: 0 }));
    }
    const open = blocks.filter((block) => block.to > place.from);
    const tail = { number: place.number, id, size, openFrom: Math.max(openFrom, place.from) };
    return { blocks: open, tail: place.last ? tail : undefined };
  } finally {
    await file.close();
  }
}

/** The blocks that boundary records make; a lost record is inferred from the next one. */
function blocksOf(
  segment: { readonly number: number; readonly id: string },
  frames: readonly Frame[],
): { blocks: Block[]; openFrom: number } {
  const blocks: Block[] = [];
  let openFrom = HEADER_BYTES;
  for (const frame of frames) {
    if (frame.kind === 'batch') continue;
    if (frame.from > openFrom) {
      const lost = { from: openFrom, to: frame.from - BOUNDARY_BYTES, rows: 0 };
      blocks.push(makeBlock(segment, lost));
    }
    blocks.push(makeBlock(segment, { from: frame.from, to: frame.offset, rows: frame.rows }));
    openFrom = frame.end;
  }
  return { blocks, openFrom };
}

/** Copies a damaged segment to `<name>.damaged` and says so. */
export async function reportDamage(
  deps: Deps,
  number: number,
  damage: readonly Damage[],
): Promise<void> {
  const copy = `${segmentName(number)}.damaged`;
  const source = await deps.disk.open(segmentName(number), 'existing');
  const bytes = await source.read(0, await source.size()).finally(() => source.close());
  const target = await deps.disk.open(copy, 'create');
  await target
    .write(bytes, 0)
    .then(() => target.sync())
    .finally(() => target.close());
  await deps.disk.syncFolder();
  const msg = 'the write-ahead log is damaged: these bytes could not be read, the rest was kept';
  deps.log({ level: 'error', msg, segment: segmentName(number), damage, copy });
}
