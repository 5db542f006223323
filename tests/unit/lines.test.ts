import { Readable } from 'node:stream';
import { readLines } from '../../steps/lines';

async function linesOf(...chunks: (string | Buffer)[]): Promise<string[]> {
  const lines: string[] = [];
  const bytes = chunks.map((chunk) => Buffer.from(chunk as string));
  await readLines(Readable.from(bytes), { onLine: (text) => lines.push(text) });
  return lines;
}

describe('lines of a step', () => {
  it('end with \\n, \\r\\n or \\r, wherever the pieces are cut', async () => {
    const text = 'one\r\ntwo\n\rthree\r50 %\r99 %\n\nend';
    const expected = ['one', 'two', '', 'three', '50 %', '99 %', '', 'end'];
    for (let cut = 0; cut <= text.length; cut += 1) {
      expect(await linesOf(text.slice(0, cut), text.slice(cut))).toEqual(expected);
    }
  });

  it('keep a character together that was cut in the middle', async () => {
    const bytes = Buffer.from('größe\n');
    expect(await linesOf(bytes.subarray(0, 3), bytes.subarray(3))).toEqual(['größe']);
  });

  it('come in parts when they never end', async () => {
    const lines = await linesOf(...Array.from({ length: 5 }, () => 'x'.repeat(10_000)));
    expect(lines.join('')).toBe('x'.repeat(50_000));
    expect(Math.max(...lines.map((line) => line.length))).toBe(16 * 1024);
  });
});
