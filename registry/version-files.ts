import { AppError, found, requireArgument } from '../errors/app-error';
import type { Sql } from '../storage/postgres/client';
import { findModelVersion } from '../storage/postgres/model-versions';
import { selectRun } from '../storage/postgres/runs';
import { artifactRootOf } from '../tracker/artifact-files';
import { freezeFiles, linkArtifact } from '../tracker/artifacts';
import { artifactFolder, artifactIdOf } from './sources';

interface Source {
  readonly projectId: string;
  readonly source: string;
}

/**
 * The artifact that a version of this source is from now on: an artifact as it is, another version's
 * artifact, or the files that lie in a run's folder at this moment, whatever is written there later.
 * Its files are shown in a folder of their own, from which MLflow's clients download. NOT_FOUND if
 * there is no such thing, or no file in it.
 */
export async function freezeSource(sql: Sql, from: Source): Promise<string> {
  const { projectId, source } = from;
  const artifactId = await artifactOf(sql, from);
  const shown = { projectId, artifactId, folder: artifactFolder(artifactId) };
  if ((await linkArtifact({ postgres: sql }, shown)) === 0) throw noFiles(source);
  return artifactId;
}

async function artifactOf(sql: Sql, from: Source): Promise<string> {
  const { projectId, source } = from;
  if (source.startsWith('models:')) return artifactOfVersion(sql, from);
  const artifactId = artifactIdOf(source);
  if (artifactId !== undefined) return artifactId;
  const path = await folderOf(sql, from);
  const frozen = await freezeFiles({ postgres: sql }, { projectId, path, kind: 'model' });
  if (frozen === undefined) throw noFiles(source);
  return frozen;
}

async function artifactOfVersion(sql: Sql, { projectId, source }: Source): Promise<string> {
  const [, model = '', number = ''] = /^models:\/([^/]+)\/(\d{1,9})$/.exec(source) ?? [];
  const message = `Invalid model version source '${source}': name a version as models:/NAME/NUMBER.`;
  requireArgument(model !== '', message);
  const version = await findModelVersion(sql, { projectId, model, version: Number(number) });
  const { artifactId } = found(version, 'model version', `${model}/${number}`);
  if (artifactId === null) throw notFrozen(source);
  return artifactId;
}

/** The folder of named files, or the one file, that `runs:/…` or `mlflow-artifacts:/…` names. */
async function folderOf(sql: Sql, { projectId, source }: Source): Promise<string> {
  const [, runId, below = ''] = /^runs:\/([^/]+)(\/.*)?$/.exec(source) ?? [];
  if (runId === undefined) return artifactRootOf(source).replace(/\/+$/, '');
  const run = found(await selectRun(sql, { projectId, id: runId }), 'run', runId);
  return `${artifactRootOf(run.artifactUri)}${below}`.replace(/\/+$/, '');
}

/** A version of an older Anneal, whose files may have changed since: nobody can say what it was. */
export function notFrozen(version: string): AppError {
  const why = 'was registered before the files of versions were kept apart from those of runs';
  return new AppError('INVALID_STATE', `'${version}' ${why}: register its source again.`);
}

function noFiles(source: string): AppError {
  const advice = 'Log its files first, or name the folder that holds them';
  return new AppError('NOT_FOUND', `There are no files in '${source}' to register. ${advice}.`);
}
