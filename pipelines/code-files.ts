import { createHash } from 'node:crypto';
import { canonicalJson } from '../dag/canonical';
import { matchPaths } from '../dag/globs';
import type { SaveCodeFiles } from '../schemas/code-files';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type { StepSpec } from '../schemas/plan';
import { findCodeFiles, insertCodeFiles } from '../storage/postgres/code-files';
import type { PipelineRunDeps } from './pipeline-runs';

/** Keeps which files a code bundle holds, for steps that name some of them in their cache's key. */
export async function saveCodeFiles(
  deps: PipelineRunDeps,
  { projectId, save }: { readonly projectId: string; readonly save: SaveCodeFiles },
): Promise<void> {
  await insertCodeFiles(deps.postgres, { projectId, ...save });
}

/**
 * The digest of the files that a step names in its cache's key: of its code, only these count then.
 * Undefined if the code as a whole counts: no files are named, a pattern fits none, or nobody has
 * said what the bundle holds.
 */
export async function digestOfFiles(
  deps: PipelineRunDeps,
  of: {
    readonly projectId: string;
    readonly spec: Pick<StepSpec, 'cache'>;
    readonly codeDigest: PipelineRun['codeDigest'];
  },
): Promise<string | undefined> {
  const { projectId, spec, codeDigest } = of;
  const patterns = spec.cache?.files ?? [];
  if (patterns.length === 0 || codeDigest === null) return undefined;
  const files = await findCodeFiles(deps.postgres, { projectId, codeDigest });
  if (files === undefined) return undefined;
  const paths = Object.keys(files);
  const matched = patterns.map((pattern) => matchPaths(pattern, paths));
  if (matched.some((found) => found.length === 0)) return undefined;
  const counted = Object.fromEntries(matched.flat().map((path) => [path, files[path]]));
  return createHash('sha256').update(canonicalJson(counted)).digest('hex');
}
