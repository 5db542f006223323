import { AppError } from '../errors/app-error';

/** An index row of Postgres holds 2,700 bytes; the project's name and the digest need some too. */
const PATH_BYTES_MAX = 2_000;
/** Deeper encodings than this are attacks, not file names. */
const DECODE_ROUNDS_MAX = 5;

/**
 * A relative POSIX path without tricks, or INVALID_ARGUMENT "Invalid path". It is a key of a table,
 * never joined to a folder of ours; the rules protect whoever downloads it.
 */
export function checkArtifactPath(path: string): string {
  // decoding again and again must change nothing that matters: `%252e%252e` is refused as well
  let text = path;
  for (let round = 0; round < DECODE_ROUNDS_MAX; round += 1) {
    if (!isPlain(text)) throw invalid();
    const decoded = decodeOnce(text);
    if (decoded === text) return path;
    text = decoded;
  }
  throw invalid();
}

function isPlain(path: string): boolean {
  return (
    Buffer.byteLength(path) <= PATH_BYTES_MAX &&
    !/[\\#;\u0000-\u001f\u007f]|\p{Surrogate}/u.test(path) &&
    !/^[A-Za-z]:/.test(path) &&
    path.split('/').every((part) => !['', '.', '..'].includes(part.trim()))
  );
}

/**
 * Decodes what is an escape and leaves what is not: `%2e%2e/100%` must not pass because of its last
 * sign. Bytes stand for characters of Latin-1, which is enough to see dots, slashes and controls.
 */
function decodeOnce(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** INVALID_ARGUMENT if a path occurs twice, or is both a file and a folder of other files. */
export function checkArtifactPaths(paths: readonly string[]): void {
  const files = new Set(paths.map(checkNamed));
  if (files.size !== paths.length) {
    throw new AppError('INVALID_ARGUMENT', 'The manifest names a path twice.');
  }
  for (const path of files) {
    const file = parentFolders(path).find((folder) => files.has(folder));
    if (file === undefined) continue;
    throw new AppError('INVALID_ARGUMENT', `The manifest has '${file}' as a file and as a folder.`);
  }
}

/** As checkArtifactPath, whose words are MLflow's, but says which path is wrong and why. */
function checkNamed(path: string): string {
  try {
    return checkArtifactPath(path);
  } catch {
    const why = `at most ${PATH_BYTES_MAX} bytes without '\\', '#', ';', '..' and control characters`;
    throw new AppError('INVALID_ARGUMENT', `The file '${path}' cannot be kept: name it in ${why}.`);
  }
}

/** The folders that a path lies in: `a/b/c` is in `a` and `a/b`. */
export function parentFolders(path: string): string[] {
  const parts = path.split('/');
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join('/'));
}

function invalid(): AppError {
  return new AppError('INVALID_ARGUMENT', 'Invalid path');
}
