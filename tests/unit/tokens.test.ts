import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { createToken, parseToken } from '../../api/auth/tokens';

describe('tokens', () => {
  it.each(['user', 'node', 'attempt', 'hook'] as const)('makes and reads a %s token', (kind) => {
    const { text, hash } = createToken(kind);
    expect(text).toMatch(new RegExp(`^anl_${kind}_[0-9A-Za-z]{30}_[0-9A-Za-z]{6}$`));
    expect(parseToken(text)).toEqual({ kind });
    expect(hash).toEqual(createHash('sha256').update(text).digest());
  });

  it('ends in the CRC-32 of the rest, in base 62', () => {
    const { text } = createToken('user');
    const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
    const sum = Array.from(text.slice(-6)).reduce((n, digit) => n * 62 + digits.indexOf(digit), 0);
    expect(sum).toBe(crc32(text.slice(0, -7)));
  });

  it('refuses a token with any one character changed, and other texts', () => {
    const { text } = createToken('node');
    for (let i = 0; i < text.length; i += 1) {
      const other = text[i] === 'x' ? 'y' : 'x';
      expect(parseToken(text.slice(0, i) + other + text.slice(i + 1))).toBeUndefined();
    }
    expect(parseToken(`${text} `)).toBeUndefined();
    expect(parseToken(text.replace('anl_node', 'anl_user'))).toBeUndefined();
    expect(parseToken('')).toBeUndefined();
  });

  it('uses every digit about equally often', () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 2_000; i += 1) {
      for (const digit of createToken('user').text.slice(9, 39)) {
        counts.set(digit, (counts.get(digit) ?? 0) + 1);
      }
    }
    const expected = (2_000 * 30) / 62; // 968; six standard deviations are 185
    expect(counts.size).toBe(62);
    for (const count of counts.values()) expect(Math.abs(count - expected)).toBeLessThan(185);
  });
});
