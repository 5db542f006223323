import { makeBlock, type Block } from './recover';
import { batchFrame, boundaryFrame } from './segment';

/** One request to the writer of the log. */
export type Item =
  | { readonly kind: 'batch'; readonly payload: Buffer; readonly rows: number; readonly done: Done }
  | { readonly kind: 'freeze' | 'sync'; readonly done: Done };
/** The promise that a caller waits for. */
export interface Done {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}
/** The part of the segment that is not frozen yet. */
export interface Open {
  readonly from: number;
  readonly rows: number;
}
/** What one write and one sync bring to the disk. */
export interface Group {
  readonly bytes: Buffer;
  readonly blocks: readonly Block[];
  readonly open: Open;
}
/** A segment freezes at the end once it is this long; a block at this many points. */
export interface GroupLimits {
  readonly segmentBytes: number;
  readonly blockRows: number;
}

/** Lays requests out behind the end of a segment; changes nothing, so that a failed write is free. */
export function layOut(
  at: { readonly number: number; readonly id: string; readonly size: number; readonly open: Open },
  items: readonly Item[],
  limits: GroupLimits,
): Group {
  const chunks: Buffer[] = [];
  const blocks: Block[] = [];
  let size = at.size;
  let { from, rows } = at.open;
  const put = (frame: Buffer): void => {
    chunks.push(frame);
    size += frame.length;
  };
  const freeze = (): void => {
    if (size === from) return;
    blocks.push(makeBlock(at, { from, to: size, rows }));
    put(boundaryFrame(at.id, { from, rows }));
    from = size;
    rows = 0;
  };
  for (const item of items) {
    if (item.kind === 'freeze') freeze();
    if (item.kind !== 'batch') continue;
    put(batchFrame(at.id, item.payload));
    rows += item.rows;
    if (rows >= limits.blockRows) freeze();
  }
  if (size >= limits.segmentBytes) freeze();
  return { bytes: Buffer.concat(chunks), blocks, open: { from, rows } };
}
