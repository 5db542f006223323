/** A place in a pipeline: keys, and positions in lists. */
export type PathParts = readonly (string | number)[];

/** `steps.a.secrets[0]`. */
export function formatPath(parts: PathParts): string {
  return parts
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : (i === 0 ? '' : '.') + part))
    .join('');
}

/** The parts of a path as a validator writes it. */
export function parsePath(path: string): PathParts {
  return path.split('.').flatMap((word) => {
    const [, name = '', positions = ''] = /^(.*?)((?:\[\d+\])*)$/s.exec(word) ?? [];
    const numbers = [...positions.matchAll(/\d+/g)].map(Number);
    return name === '' ? numbers : [name, ...numbers];
  });
}
