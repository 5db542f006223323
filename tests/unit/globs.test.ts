import { matchPaths } from '../../dag/globs';

const PATHS = ['src/a.py', 'src/deep/b.py', 'train.py', 'readme.md', '/abs/c.py', '../up.py'];

describe('a pattern for files', () => {
  it.each<[string, string[]]>([
    ['src/**', ['src/a.py', 'src/deep/b.py']],
    ['src/*.py', ['src/a.py']],
    ['*.py', ['src/a.py', 'src/deep/b.py', 'train.py', '/abs/c.py', '../up.py']],
    ['./readme.md', ['readme.md']],
    ['deep', ['src/deep/b.py']],
    ['scr/**', []],
    ['!src/**', []],
    ['#', []],
  ])('%s means what it would mean in .gitignore', (pattern, expected) => {
    expect(matchPaths(pattern, PATHS)).toEqual(expected);
  });
});
