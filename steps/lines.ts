import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** A line without end (binary output, one huge JSON) comes in parts, so that memory stays bounded. */
const LINE_CHARS_MAX = 16 * 1024;
/** `\r` alone ends a line as well: progress bars write it. At the end of a piece `\n` may follow. */
const LINE_END = /\r\n|\n|\r(?!$)/;

export interface ReadLines {
  readonly onLine: (text: string) => void;
  /** Takes secrets out of a text. */
  readonly mask?: ((text: string) => string) | undefined;
  /** Of the longest secret: a part is cut only behind what may hold the rest of one. */
  readonly maskChars?: number | undefined;
}

/** Hands on a stream line by line, also the last one without an end. */
export async function readLines(
  stream: Readable,
  { onLine, mask = (text) => text, maskChars = 0 }: ReadLines,
): Promise<void> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + decoder.write(chunk as Buffer)).split(LINE_END);
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(mask(line));
    if (rest.length > LINE_CHARS_MAX + maskChars) rest = mask(rest);
    for (; rest.length > LINE_CHARS_MAX + maskChars; rest = rest.slice(LINE_CHARS_MAX)) {
      onLine(rest.slice(0, LINE_CHARS_MAX));
    }
  }
  rest = (rest + decoder.end()).replace(/\r$/, '');
  if (rest !== '') onLine(mask(rest));
}
