import { AppError } from '../errors/app-error';

/** Longer paths do not fit the file systems that downloads go to. */
const PATH_CHARS_MAX = 1_000;

/**
 * A relative POSIX path without tricks, or INVALID_ARGUMENT "Invalid path". It is a key of a table,
 * never joined to a folder of ours; the rules protect whoever downloads it.
 */
export function checkArtifactPath(path: string): string {
  // decoding again and again must change nothing that matters: `%252e%252e` is refused as well
  for (let text = path, round = 0; round < 5; round += 1) {
    assertPlain(text);
    const decoded = decode(text);
    if (decoded === text) return path;
    text = decoded;
  }
  throw invalid();
}

function assertPlain(path: string): void {
  const parts = path.split('/');
  const bad =
    path === '' ||
    path.length > PATH_CHARS_MAX ||
    /[\\\0#;]|[\u0001-\u001f\u007f]/.test(path) ||
    /^[A-Za-z]:/.test(path) ||
    parts.some((part) => part === '' || part === '.' || part === '..');
  if (bad) throw invalid();
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a lone percent sign is an ordinary character
  }
}

function invalid(): AppError {
  return new AppError('INVALID_ARGUMENT', 'Invalid path');
}
