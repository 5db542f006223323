import { createHash } from 'node:crypto';
import { list } from 'tar';
import { matchPaths } from '../dag/globs';
import { templatesOf } from '../dag/templates';
import { AppError } from '../errors/app-error';
import type { Plan } from '../schemas/plan';
import type { PackedCode } from './code-bundle';
import type { Http } from './http';

type Files = Readonly<Record<string, string>>;

/**
 * Tells the server which files a packed project holds, if steps of the plan name some in the keys of
 * their caches, or if the plan is not known here. INVALID_ARGUMENT if one names files that are not there.
 */
export async function sendCodeFiles(
  http: Http,
  packed: Pick<PackedCode, 'file' | 'digest'>,
  plan?: Plan,
): Promise<void> {
  const named = plan === undefined ? undefined : patternsOf(plan);
  if (named?.length === 0) return;
  const files = await readCodeFiles(packed.file);
  checkPatterns(named ?? [], files);
  await http.post('/api/v1/code-files', { codeDigest: packed.digest, files });
}

interface Pattern {
  readonly step: string;
  readonly pattern: string;
}
function patternsOf(plan: Plan): Pattern[] {
  return templatesOf(plan).list.flatMap(({ spec, path: step }) =>
    (spec.cache?.files ?? []).map((pattern) => ({ step, pattern })),
  );
}

/** Path → SHA-256 of every file in an archive. */
async function readCodeFiles(file: string): Promise<Files> {
  const files: Record<string, string> = {};
  await list({
    file,
    onReadEntry: (entry) => {
      const hash = createHash('sha256');
      entry.on('data', (bytes) => hash.update(bytes));
      entry.on('end', () => (files[entry.path] = hash.digest('hex')));
    },
  });
  return files;
}

function checkPatterns(patterns: readonly Pattern[], files: Files): void {
  const paths = Object.keys(files);
  const wrong = patterns.find(({ pattern }) => matchPaths(pattern, paths).length === 0);
  if (wrong === undefined) return;
  const { step, pattern } = wrong;
  const message = `No file of the project fits '${pattern}' in the key of the cache of step '${step}'. Correct it; files that .gitignore names are not sent.`;
  throw new AppError('INVALID_ARGUMENT', message);
}
