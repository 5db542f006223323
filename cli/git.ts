import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Git } from '../schemas/git';
import { isSecret } from '../sdk/code-bundle';

/** A person waits; the run can do without. */
const ASK_TIMEOUT_MS = 10_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
/** As many names as fit into a command line; who changes more has no patch. */
const PATCH_FILES_MAX = 500;
/** Enough of a commit to find it. */
const COMMIT_CHARS = 12;

/**
 * The commit that a folder stands at, and whether files below it differ (also new ones that git does
 * not ignore); undefined outside of a repository, in a folder that it ignores, and without git.
 */
export async function readGit(folder: string): Promise<Git | undefined> {
  if ((await ask(folder, ['check-ignore', '-q', '.'])) !== undefined) return undefined;
  const commit = await ask(folder, ['rev-parse', 'HEAD']);
  const changes = await ask(folder, ['status', '--porcelain', '--', '.']);
  const parsed = Git.safeParse({ commit: commit?.trim(), isDirty: changes !== '' });
  return changes === undefined ? undefined : parsed.data;
}

/**
 * What differs from the commit in the files that git knows, as a patch; without files that look like
 * secrets. Undefined if nothing does, or too many files do.
 */
export async function readPatch(folder: string): Promise<string | undefined> {
  const from = ['diff', '--no-ext-diff', '--no-color', '--no-renames', '--relative', 'HEAD'];
  const names = (await ask(folder, [...from, '--name-only', '-z', '--', '.']))?.split('\0') ?? [];
  const sent = names.filter((name) => name !== '' && !isSecret(name));
  if (sent.length === 0 || sent.length > PATCH_FILES_MAX) return undefined;
  const patch = await ask(folder, [...from, '--', ...sent.map((name) => `:(literal)${name}`)]);
  return patch === '' ? undefined : patch;
}

async function ask(folder: string, words: readonly string[]): Promise<string | undefined> {
  // no lock and no watcher: somebody else may be at work in the repository
  const options = ['--no-optional-locks', '-c', 'core.fsmonitor=false', '-C', folder];
  const limits = { timeout: ASK_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX };
  return promisify(execFile)('git', [...options, ...words], limits).then(
    ({ stdout }) => stdout,
    () => undefined,
  );
}

/** `0123456789ab`, with `+ changes` if files differed from the commit. */
export function describeGit({ commit, isDirty }: Git): string {
  return commit.slice(0, COMMIT_CHARS) + (isDirty ? ' + changes' : '');
}
