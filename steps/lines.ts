import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** A line without end (binary output, one huge JSON) comes in parts, so that memory stays bounded. */
const LINE_CHARS_MAX = 16 * 1024;
/** `\r` alone ends a line as well: progress bars write it. At the end of a piece `\n` may follow. */
const LINE_END = /\r\n|\n|\r(?!$)/;

/** Hands on a stream line by line, also the last one without an end. */
export async function readLines(stream: Readable, onLine: (text: string) => void): Promise<void> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + decoder.write(chunk as Buffer)).split(LINE_END);
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
    for (; rest.length > LINE_CHARS_MAX; rest = rest.slice(LINE_CHARS_MAX)) {
      onLine(rest.slice(0, LINE_CHARS_MAX));
    }
  }
  rest = (rest + decoder.end()).replace(/\r$/, '');
  if (rest !== '') onLine(rest);
}
