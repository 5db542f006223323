import type { LogLine } from '../schemas/pipeline-runs';

/** A line before it has its number. */
export type UnnumberedLine = Omit<LogLine, 'seq'>;

/** 64 MiB per attempt in all; metrics and files have no such limit. */
const HEAD_BYTES_MAX = 63 * 1024 * 1024;
const TAIL_BYTES_MAX = 1024 * 1024;
/** A short line takes more room beside its text than in it. */
const HEAD_LINES_MAX = 500_000;
const TAIL_LINES_MAX = 5_000;
const FULL =
  'The log of this attempt is full (64 MiB, 500,000 lines): of what follows only the last 1 MiB is kept, and shown at the end.';

/** Decides which lines of an attempt are kept: its first, and its last once those are too many. */
export class LogLimit {
  private bytes = 0;
  private lines = 0;
  private isFull = false;
  private readonly tail: UnnumberedLine[] = [];
  private tailBytes = 0;
  private leftOut = { lines: 0, bytes: 0 };

  /** What is to be sent in place of a line: itself, a note that it is too much, or nothing. */
  keep(line: UnnumberedLine): UnnumberedLine | undefined {
    const bytes = Buffer.byteLength(line.text) + 1;
    if (!this.isFull && this.bytes + bytes <= HEAD_BYTES_MAX && this.lines < HEAD_LINES_MAX) {
      this.bytes += bytes;
      this.lines += 1;
      return line;
    }
    this.keepInTail(line, bytes);
    if (this.isFull) return undefined;
    this.isFull = true;
    return { ...line, stream: 'anneal', text: FULL };
  }

  private keepInTail(line: UnnumberedLine, bytes: number): void {
    // a copy: a part of a chunk would keep the whole chunk in memory
    this.tail.push({ ...line, text: Buffer.from(line.text).toString() });
    this.tailBytes += bytes;
    while (this.tailBytes > TAIL_BYTES_MAX || this.tail.length > TAIL_LINES_MAX) {
      const first = Buffer.byteLength(this.tail.shift()?.text ?? '') + 1;
      this.tailBytes -= first;
      this.leftOut = { lines: this.leftOut.lines + 1, bytes: this.leftOut.bytes + first };
    }
  }

  /** The last lines, behind one that says how much is missing before them. */
  end(): UnnumberedLine[] {
    const tail = this.tail.splice(0);
    const [first] = tail;
    const { lines, bytes } = this.leftOut;
    if (first === undefined || lines === 0) return tail;
    const text = `${lines} lines (${(bytes / 1024 / 1024).toFixed(1)} MiB) are left out here.`;
    return [{ at: first.at, stream: 'anneal', text }, ...tail];
  }
}
