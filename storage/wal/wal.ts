import { AppError } from '../../errors/app-error';
import { writeCheckpoint } from './checkpoint';
import type { Durability, Wal, WalLimits, WalOptions, WalStats } from './contract';
import { openDisk, type Disk } from './disk';
import { takeFolder } from './folder';
import { layOut, type Done, type Item, type Open } from './group';
import { recover, reportDamage, type Block, type Log, type Recovered } from './recover';
import { HEADER_BYTES, PAYLOAD_BYTES_MAX, scan, segmentName } from './segment';
import { createSegment, storageError, type Segment } from './segment-file';

export type { Durability, Wal, WalLimits, WalOptions, WalStats } from './contract';

const LIMITS: WalLimits = {
  segmentBytes: 64 * 1024 * 1024, // read whole at a start; old ones go as units
  blockRows: 100_000, // where one insert into ClickHouse is fastest per row
  queueBytes: 64 * 1024 * 1024, // memory: six batches of the largest kind, 2 M small points
  backlogBytes: 1024 * 1024 * 1024, // disk: about 40 M points, minutes of outage at full speed
};
/** One write call: large enough that the sync dominates, small enough to copy in a millisecond. */
const GROUP_BYTES_MAX = 8 * 1024 * 1024;
/** What `interval` can lose when the power goes. */
const SYNC_EVERY_MS = 50;

/** Opens the log in a folder of its own; one process at a time. Replays what is not checkpointed. */
export async function openWal(options: WalOptions & { readonly dir: string }): Promise<Wal> {
  const disk = await openDisk(options.dir);
  const release = takeFolder(options.dir);
  try {
    return await openWalOn(disk, options, release);
  } catch (error) {
    release();
    throw error;
  }
}

/** As `openWal`, on any disk that is ours alone; `release` is called when the log is closed. */
export async function openWalOn(
  disk: Disk,
  options: WalOptions,
  release: () => void = () => undefined,
): Promise<Wal> {
  const log = options.log ?? (() => undefined);
  try {
    const found = await recover(disk, log);
    const durable = options.durability !== 'memory';
    const segment: Segment =
      found.tail === undefined
        ? await createSegment(disk, found.next, durable)
        : { ...found.tail, file: await disk.open(segmentName(found.tail.number), 'existing') };
    return new FileWal({ disk, log, options, found, segment, release });
  } catch (error) {
    throw storageError(error);
  }
}

class FileWal implements Wal {
  readonly #disk: Disk;
  readonly #log: Log;
  readonly #durability: Durability;
  readonly #limits: WalLimits;
  readonly #blocks: Block[];
  readonly #release: () => void;
  #segments: number[];
  #segment: Segment;
  #size: number;
  #open: Open;
  #queue: Item[] = [];
  #queueBytes = 0;
  #writing: Promise<void> | undefined;
  #dirty = false;
  #syncTimer: NodeJS.Timeout | undefined;
  #frozen: number;
  #stored = 0;
  #refusal: AppError | undefined;

  constructor(from: {
    disk: Disk;
    log: Log;
    options: WalOptions;
    found: Recovered;
    segment: Segment;
    release: () => void;
  }) {
    this.#release = from.release;
    this.#disk = from.disk;
    this.#log = from.log;
    this.#durability = from.options.durability;
    this.#limits = { ...LIMITS, ...from.options.limits };
    this.#blocks = [...from.found.blocks];
    this.#frozen = this.#blocks.length;
    this.#segment = from.segment;
    this.#segments = [...new Set([...from.found.segments, from.segment.number])];
    this.#size = from.found.tail?.size ?? HEADER_BYTES;
    this.#open = { from: from.found.tail?.openFrom ?? HEADER_BYTES, rows: 0 };
  }

  append(payload: Buffer, rows: number): Promise<void> {
    if (payload.length > PAYLOAD_BYTES_MAX) {
      const message = `A batch of ${payload.length} bytes is larger than ${PAYLOAD_BYTES_MAX}.`;
      return Promise.reject(new AppError('TOO_LARGE', message));
    }
    const full =
      this.#queueBytes + payload.length > this.#limits.queueBytes ||
      this.#pendingBytes() + this.#queueBytes + payload.length > this.#limits.backlogBytes;
    if (full && this.#refusal === undefined) {
      const message = 'Metrics come in faster than they can be stored.';
      return Promise.reject(new AppError('RATE_LIMITED', message));
    }
    return this.#enqueue((done) => ({ kind: 'batch', payload, rows, done }));
  }

  async freeze(): Promise<number> {
    const nothing = this.#queue.length === 0 && this.#writing === undefined;
    if (nothing && this.#open.from === this.#size) return this.#frozen;
    await this.#enqueue((done) => ({ kind: 'freeze', done }));
    return this.#frozen;
  }

  next(): Block | undefined {
    return this.#blocks[0];
  }

  async read(block: Block): Promise<Buffer[]> {
    const file = await this.#disk.open(segmentName(block.segment), 'existing');
    const length = block.to - block.from;
    const bytes = await file.read(block.from, length).finally(() => file.close());
    const { frames, damage } = scan(block.id, bytes, block.from);
    if (damage.length > 0 || bytes.length < length) {
      await reportDamage({ disk: this.#disk, log: this.#log }, block.segment, damage);
    }
    return frames.flatMap((frame) => (frame.kind === 'batch' ? [frame.payload] : []));
  }

  async checkpoint(block: Block): Promise<void> {
    if (block !== this.#blocks[0]) throw new Error('blocks are checkpointed in their order');
    const durable = this.#durability !== 'memory';
    try {
      const { segment, to } = block;
      await writeCheckpoint(this.#disk, { segment, offset: to }, durable);
      this.#blocks.shift();
      this.#stored += 1;
      const old = this.#segments.filter((number) => number < segment);
      for (const number of old) await this.#disk.remove(segmentName(number));
      this.#segments = this.#segments.filter((number) => number >= segment);
    } catch (error) {
      throw storageError(error);
    }
  }

  stats(): WalStats {
    const openBytes = this.#size - this.#open.from;
    const blocks = { blocksFrozen: this.#frozen, blocksStored: this.#stored };
    return { pendingBytes: this.#pendingBytes(), openBytes, ...blocks };
  }

  async close(): Promise<void> {
    this.#refusal ??= new AppError('DEPENDENCY_UNAVAILABLE', 'The api is shutting down.');
    clearTimeout(this.#syncTimer);
    await this.#writing;
    if (this.#dirty) await this.#segment.file.sync().catch((error: unknown) => this.#fail(error));
    await this.#segment.file.close();
    this.#release();
  }

  #pendingBytes(): number {
    const frozen = this.#blocks.reduce((sum, block) => sum + block.to - block.from, 0);
    return frozen + this.#size - this.#open.from;
  }

  #enqueue(make: (done: Done) => Item): Promise<void> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal);
    return new Promise((resolve, reject) => {
      const item = make({ resolve, reject });
      this.#queue.push(item);
      if (item.kind === 'batch') this.#queueBytes += item.payload.length;
      this.#writing ??= this.#write();
    });
  }

  /** Writes group after group until the queue is empty; whoever comes meanwhile rides the next. */
  async #write(): Promise<void> {
    await Promise.resolve(); // callers of the same tick share the first group too
    while (this.#queue.length > 0) {
      const items = this.#takeGroup();
      const error = await this.#writeGroup(items);
      for (const item of items) {
        if (error === undefined) item.done.resolve();
        else item.done.reject(error);
      }
      if (error === undefined && this.#size >= this.#limits.segmentBytes) await this.#rotate();
    }
    this.#writing = undefined;
  }

  #takeGroup(): Item[] {
    let bytes = 0;
    let count = 0;
    for (const item of this.#queue) {
      if (item.kind === 'batch') bytes += item.payload.length;
      if (count > 0 && bytes > GROUP_BYTES_MAX) break;
      count += 1;
    }
    const items = this.#queue.splice(0, count);
    for (const item of items) if (item.kind === 'batch') this.#queueBytes -= item.payload.length;
    return items;
  }

  async #writeGroup(items: readonly Item[]): Promise<AppError | undefined> {
    if (this.#refusal?.code === 'STORAGE_FAILED') return this.#refusal;
    const at = { ...this.#segment, size: this.#size, open: this.#open };
    const group = layOut(at, items, this.#limits);
    const { file } = this.#segment;
    try {
      if (group.bytes.length > 0) await file.write(group.bytes, this.#size);
    } catch (error) {
      const full = storageError(error);
      if (full.code !== 'STORAGE_FULL') return this.#fail(error);
      return file.truncate(this.#size).then(
        () => full,
        (cause: unknown) => this.#fail(cause),
      );
    }
    this.#dirty ||= group.bytes.length > 0;
    try {
      // borders are always synced before anybody can act on them
      const now = group.blocks.length > 0 || items.some((item) => item.kind !== 'batch');
      if (this.#durability === 'fsync' || (this.#durability === 'interval' && now)) {
        if (this.#dirty) await file.sync();
        this.#dirty = false;
      }
    } catch (error) {
      return this.#fail(error);
    }
    this.#size += group.bytes.length;
    this.#open = group.open;
    this.#blocks.push(...group.blocks);
    this.#frozen += group.blocks.length;
    this.#syncLater();
    return undefined;
  }

  #syncLater(): void {
    if (this.#durability !== 'interval' || !this.#dirty || this.#syncTimer !== undefined) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = undefined;
      // a failure is kept in #refusal and reported there
      this.#enqueue((done) => ({ kind: 'sync', done })).catch(() => undefined);
    }, SYNC_EVERY_MS);
  }

  /** Goes on in a new file. Without space for one, the old one simply grows. */
  async #rotate(): Promise<void> {
    try {
      if (this.#dirty && this.#durability !== 'memory') await this.#segment.file.sync();
      const durable = this.#durability !== 'memory';
      const next = await createSegment(this.#disk, this.#segment.number + 1, durable);
      await this.#segment.file.close();
      this.#segment = next;
      this.#segments.push(next.number);
      this.#size = HEADER_BYTES;
      this.#open = { from: HEADER_BYTES, rows: 0 };
      this.#dirty = false;
    } catch (error) {
      if (storageError(error).code !== 'STORAGE_FULL') this.#fail(error);
    }
  }

  /**
   * After a failed sync nobody knows what is on the disk, and a second sync would lie: take nothing
   * more. What was acknowledged is stored after the restart.
   */
  #fail(cause: unknown): AppError {
    const error = storageError(cause);
    const refusal =
      error.code === 'STORAGE_FAILED'
        ? error
        : new AppError('STORAGE_FAILED', 'The disk is full and failed to sync.', { cause });
    this.#refusal = refusal;
    this.#log({
      level: 'error',
      msg: 'the write-ahead log takes nothing more',
      why: error.message,
    });
    return refusal;
  }
}
