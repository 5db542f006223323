import ignore from 'ignore';

/** The paths that a pattern means, as `.gitignore` would: `src/**`, `*.py`, `train.py`, `data`. */
export function matchPaths(pattern: string, paths: readonly string[]): string[] {
  // names from outside must not throw
  const matcher = ignore({ allowRelativePaths: true }).add(pattern.replace(/^\.\//, ''));
  return paths.filter((path) => matcher.ignores(path));
}
