import fc from 'fast-check';
import { posix, win32 } from 'node:path';
import { isAppError } from '../../errors/app-error';
import { checkArtifactPath, checkArtifactPaths, parentFolders } from '../../tracker/artifact-paths';

function accepts(path: string): boolean {
  try {
    expect(checkArtifactPath(path)).toBe(path); // never rewritten
    return true;
  } catch (error) {
    expect(isAppError(error) && [error.code, error.message]).toEqual([
      'INVALID_ARGUMENT',
      'Invalid path',
    ]);
    return false;
  }
}

/** How often somebody behind us might decode the name. */
const DECODINGS = 8;
function decodings(path: string): string[] {
  const all = [path];
  for (let i = 0; i < DECODINGS; i += 1) {
    const last = all[all.length - 1] ?? '';
    all.push(last.replace(/%[0-9a-f]{2}/gi, (text) => String.fromCharCode(parseInt(text.slice(1), 16))));
  } // prettier-ignore
  return all;
}

describe('checkArtifactPath', () => {
  it.each([
    'f', 'a/b.txt', 'a b/Übung ☃', '100%', 'a%20b', '...', 'a..b', '..a', 'aa:b', '~', '-rf', '%', '%zz',
  ])('takes %j', (path) => {
    expect(accepts(path)).toBe(true);
  }); // prettier-ignore

  it.each([
    '', '.', '..', '/', '/etc/passwd', 'a/', 'a//b', './a', 'a/.', 'a/..', '../a', 'a/../b', ' ..', '.. ',
    '%2e', '%2e%2e', '%2E%2E/a', '..%2fa', '%2fa', 'a%2f%2e%2e%2fb', '%252e%252e', '%25252e%25252e/a',
    `%${'25'.repeat(9)}41`, '%2525252525252e%2525252525252e', '%2e%2e/%', '%2e%2e/%zz', '%2e%2e/%ff',
    'a\\b', '..\\a', 'a%5cb', '%255c..', 'C:', 'C:\\a', 'c:a', '%43:/a', 'a\0b', 'a%00b', 'a\nb', 'a\x7fb',
    'a#b', 'a%23b', 'a;b', '..;/a', 'a;/../b', 'a%3b/../b', '\ud800', 'a/\udfff/b',
  ])('refuses %j', (path) => {
    expect(accepts(path)).toBe(false);
  }); // prettier-ignore

  it('limits the length in bytes', () => {
    expect(accepts('x'.repeat(2_000))).toBe(true);
    expect(accepts('x'.repeat(2_001))).toBe(false);
    expect(accepts('ü'.repeat(1_001))).toBe(false);
  });

  it('lets nothing out of a folder, however often its name is decoded, on any system', () => {
    const trick = fc.constantFrom(
      '..', '.', '/', '\\', '%2e', '%2E%2e', '%252e', '%25', '%2f', '%5c', '%00', '%', ';', '#', ' ', 'a',
      '~', ':', 'C:', '\0', '．', '／', '%c0%ae', '%u002e', '\u202e',
    ); // prettier-ignore
    const paths = fc.array(fc.oneof(trick, fc.string({ maxLength: 3 })), { maxLength: 8 });
    let taken = 0;
    fc.assert(
      fc.property(paths, (parts) => {
        const path = parts.join('');
        if (!accepts(path)) return;
        taken += 1;
        for (const text of decodings(path)) {
          expect(posix.resolve('/top', text)).toBe(`/top/${text}`);
          expect(win32.resolve('D:\\root', text).startsWith('D:\\root\\')).toBe(true);
        }
      }),
      { numRuns: 5_000 },
    );
    expect(taken).toBeGreaterThan(100); // or nothing was tested
  });
});

describe('checkArtifactPaths', () => {
  it('takes distinct files, also in one folder', () => {
    expect(() => {
      checkArtifactPaths(['a/b', 'a/c', 'ab', 'd']);
    }).not.toThrow();
  });

  it.each([[['a', 'a']], [['a', 'a/b']], [['a/b/c', 'a']], [['a', '../b']]])(
    'refuses %j',
    (paths) => {
      expect(() => {
        checkArtifactPaths(paths);
      }).toThrow();
    },
  );

  it('knows the folders of a path', () => {
    expect(parentFolders('a/b/c')).toEqual(['a', 'a/b']);
    expect(parentFolders('a')).toEqual([]);
  });
});
