import type { GroupLimits } from './group';
import type { Block, Log } from './recover';

/** When a batch is acknowledged: after its sync, up to 50 ms before it, or without any sync. */
export type Durability = 'fsync' | 'interval' | 'memory';
/** Bounds of a log; the defaults have their reasons beside them. */
export interface WalLimits extends GroupLimits {
  readonly queueBytes: number;
  readonly backlogBytes: number;
}
export interface WalOptions {
  readonly durability: Durability;
  readonly log?: Log;
  readonly limits?: Partial<WalLimits>;
}
/** An append-only log that hands out frozen blocks of batches, oldest first. */
export interface Wal {
  /**
   * Resolves once the batch of `rows` points is on the disk. Throws TOO_LARGE, RATE_LIMITED,
   * STORAGE_FULL (nothing of it was kept), STORAGE_FAILED (the log takes nothing more).
   */
  append(payload: Buffer, rows: number): Promise<void>;
  /** Closes the open block; resolves to the count of blocks frozen so far, all of them on disk. */
  freeze(): Promise<number>;
  /** The oldest block that is not checkpointed. */
  next(): Block | undefined;
  /** The batches of a block, as they were appended. */
  read(block: Block): Promise<Buffer[]>;
  /** Says that the block `next` gave is stored for good; old segments are removed. */
  checkpoint(block: Block): Promise<void>;
  stats(): WalStats;
  /** Waits for what was appended; checkpoints nothing. */
  close(): Promise<void>;
}
export interface WalStats {
  readonly pendingBytes: number; // on disk, not checkpointed
  readonly openBytes: number; // of them, not in a frozen block
  readonly blocksFrozen: number;
  readonly blocksStored: number;
}
