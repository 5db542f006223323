import type { Readable } from 'node:stream';
import { AppError, found } from '../errors/app-error';
import { PATCH_BYTES_MAX } from '../schemas/git';
import { objectKey } from '../storage/objects/keys';
import type { ObjectDeps } from '../tracker/objects';
import { getPipelineRun } from './pipeline-runs';

/** In what a run's code differed from its commit, as a patch; NOT_FOUND if none was sent. */
export async function getPatch(
  deps: ObjectDeps,
  { projectId, id }: { readonly projectId: string; readonly id: string },
): Promise<Readable> {
  const { git } = await getPipelineRun(deps, { projectId, id });
  const digest = found(git?.patchDigest, 'patch of run', id);
  const key = objectKey(projectId, digest);
  const sizeBytes = found(await deps.objects.head(key), 'object', digest);
  if (sizeBytes > PATCH_BYTES_MAX) {
    throw new AppError('TOO_LARGE', `The object ${digest} is too large for a patch.`);
  }
  return found(await deps.objects.get(key), 'object', digest);
}
