import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/*
 * A segment is one file of the log: a header and frames.
 *   header: magic (8 bytes), random id (16), CRC-32 of both (4)
 *   frame:  magic (4), CRC-32 of the rest (4), length of the rest after it (4), kind (1), payload
 * Numbers are little-endian. The CRC starts from the random id, so that bytes which a client chose
 * can never pass for a frame.
 */
const SEGMENT_MAGIC = Buffer.from('ANNEALW1');
const FRAME_MAGIC = Buffer.from([0xf5, 0xa7, 0x1e, 0xc3]);
const ID_BYTES = 16;
/** Where the first frame stands. */
export const HEADER_BYTES = SEGMENT_MAGIC.length + ID_BYTES + 4;
const PREFIX_BYTES = 12;
/** A batch of 10,000 points with 10,000 keys of 250 characters has at most 11 MB. */
export const PAYLOAD_BYTES_MAX = 16 * 1024 * 1024;
/** Every boundary record takes this much, so the end of a lost one can be told from the next. */
export const BOUNDARY_BYTES = PREFIX_BYTES + 1 + 8;

const KIND_BATCH = 1;
const KIND_BOUNDARY = 2;

/** A frame that was read. A boundary says: the batches in [from, offset) are one block. */
export type Frame = { readonly offset: number; readonly end: number } & (
  | { readonly kind: 'batch'; readonly payload: Buffer }
  | { readonly kind: 'boundary'; readonly from: number; readonly rows: number }
);
/** Bytes that are no frame. */
export interface Damage {
  readonly from: number;
  readonly to: number;
}
/** What stands in a stretch of a segment, in order. */
export interface Scan {
  readonly frames: readonly Frame[];
  readonly damage: readonly Damage[];
}

/** The name of segment `number`: sorts like the numbers do. */
export function segmentName(number: number): string {
  return `${String(number).padStart(10, '0')}.wal`;
}
/** The number in a segment's name, undefined for other files. */
export function segmentNumber(name: string): number | undefined {
  const match = /^(\d{10})\.wal$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** A header with a fresh id (32 hex digits): ids make tokens unique over all logs there ever were. */
export function makeHeader(): { readonly id: string; readonly bytes: Buffer } {
  const body = Buffer.concat([SEGMENT_MAGIC, randomBytes(ID_BYTES)]);
  const bytes = Buffer.alloc(HEADER_BYTES);
  body.copy(bytes);
  bytes.writeUInt32LE(crc32(body), body.length);
  return { id: body.subarray(SEGMENT_MAGIC.length).toString('hex'), bytes };
}
/** The id in a header, undefined if it is torn. */
export function readHeader(bytes: Buffer): string | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const body = bytes.subarray(0, HEADER_BYTES - 4);
  if (!body.subarray(0, SEGMENT_MAGIC.length).equals(SEGMENT_MAGIC)) return undefined;
  if (bytes.readUInt32LE(HEADER_BYTES - 4) !== crc32(body)) return undefined;
  return body.subarray(SEGMENT_MAGIC.length).toString('hex');
}

/** A batch as it stands in segment `id`. */
export function batchFrame(id: string, payload: Buffer): Buffer {
  return frame(id, KIND_BATCH, payload);
}
/** The record that closes a block of `rows` points that begins at `from`. */
export function boundaryFrame(id: string, block: { from: number; rows: number }): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32LE(block.from, 0);
  payload.writeUInt32LE(block.rows, 4);
  return frame(id, KIND_BOUNDARY, payload);
}
function frame(id: string, kind: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + 1 + payload.length);
  FRAME_MAGIC.copy(bytes);
  bytes.writeUInt32LE(1 + payload.length, 8);
  bytes.writeUInt8(kind, PREFIX_BYTES);
  payload.copy(bytes, PREFIX_BYTES + 1);
  bytes.writeUInt32LE(checksum(id, bytes), 4);
  return bytes;
}
function checksum(id: string, bytes: Buffer): number {
  return crc32(bytes.subarray(8), crc32(id));
}

/**
 * Reads every frame of `bytes`, which stand at `base` in segment `id`; goes on behind damaged
 * stretches at the next frame whose CRC holds.
 */
export function scan(id: string, bytes: Buffer, base: number): Scan {
  const frames: Frame[] = [];
  const damage: Damage[] = [];
  let at = 0;
  let lost: number | undefined;
  while (at < bytes.length) {
    const read = frameAt(id, bytes, { at, base });
    if (read === undefined) {
      lost ??= at;
      const next = bytes.indexOf(FRAME_MAGIC, at + 1);
      at = next === -1 ? bytes.length : next;
      continue;
    }
    if (lost !== undefined) damage.push({ from: base + lost, to: base + at });
    lost = undefined;
    frames.push(read);
    at = read.end - base;
  }
  if (lost !== undefined) damage.push({ from: base + lost, to: base + bytes.length });
  return { frames, damage };
}

function frameAt(
  id: string,
  bytes: Buffer,
  where: { readonly at: number; readonly base: number },
): Frame | undefined {
  const { at, base } = where;
  if (at + PREFIX_BYTES + 1 > bytes.length) return undefined;
  if (bytes.compare(FRAME_MAGIC, 0, 4, at, at + 4) !== 0) return undefined;
  const length = bytes.readUInt32LE(at + 8);
  const stop = at + PREFIX_BYTES + length;
  if (length < 1 || length > PAYLOAD_BYTES_MAX + 1 || stop > bytes.length) return undefined;
  const whole = bytes.subarray(at, stop);
  if (checksum(id, whole) !== bytes.readUInt32LE(at + 4)) return undefined;
  const payload = whole.subarray(PREFIX_BYTES + 1);
  const place = { offset: base + at, end: base + stop };
  if (whole[PREFIX_BYTES] === KIND_BATCH) return { ...place, kind: 'batch', payload };
  if (whole[PREFIX_BYTES] !== KIND_BOUNDARY || payload.length !== 8) return undefined;
  const [from, rows] = [payload.readUInt32LE(0), payload.readUInt32LE(4)];
  return { ...place, kind: 'boundary', from, rows };
}
