import type { Manifest } from '../schemas/artifacts';
import type { AttemptKey } from '../storage/postgres/attempts';
import {
  insertCheckpoint,
  listCheckpoints,
  pruneCheckpoints,
} from '../storage/postgres/checkpoints';
import type { Checkpoint } from '../storage/postgres/checkpoints';
import { findStep } from '../storage/postgres/steps';
import { assertNewestAttempt } from '../tracker/adoption';
import { commitArtifact } from '../tracker/artifacts';
import type { ArtifactDeps } from '../tracker/artifacts';

/** The newest may be broken and the one before, too: three, unless the step says otherwise. */
const KEEP_DEFAULT = 3;

/**
 * Makes a checkpoint valid: all of its files are in the store, the attempt is the newest one. Older
 * ones are forgotten only after that. The same name again changes nothing.
 */
export async function commitCheckpoint(
  deps: ArtifactDeps,
  input: { readonly attempt: AttemptKey; readonly name: string; readonly manifest: Manifest },
): Promise<{ readonly artifactId: string }> {
  const { attempt, name, manifest } = input;
  const { projectId, runId, stepKey } = attempt;
  const artifactId = await commitArtifact(deps, { projectId, kind: 'checkpoint', manifest });
  const sizeBytes = manifest.reduce((sum, entry) => sum + entry.sizeBytes, 0);
  await deps.postgres.transaction(async (sql) => {
    await assertNewestAttempt(sql, { ...attempt, pipelineRunId: runId });
    await insertCheckpoint(sql, { ...attempt, name, artifactId, sizeBytes });
    const keep = (await findStep(sql, attempt))?.spec.checkpoint?.keep ?? KEEP_DEFAULT;
    await pruneCheckpoints(sql, { projectId, runId, stepKey, keep });
  });
  return { artifactId };
}

/** The valid checkpoints of a run, oldest first. */
export function readCheckpoints(
  deps: Pick<ArtifactDeps, 'postgres'>,
  run: { readonly projectId: string; readonly runId: string },
): Promise<Checkpoint[]> {
  return listCheckpoints(deps.postgres, run);
}
