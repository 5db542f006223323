import { AppError } from '../errors/app-error';
import type { VersionKey } from '../storage/postgres/model-versions';
import { getModelVersion } from './model-versions';
import type { RegistryDeps } from './registered-models';
import { artifactFolder } from './sources';

export interface DownloadDeps extends RegistryDeps {
  /** The artifact folder of a tracked run (`mlflow-artifacts:/…`); NOT_FOUND without such a run. */
  readonly runArtifactUri: (key: {
    readonly projectId: string;
    readonly runId: string;
  }) => Promise<string>;
}
/** A version of a version of a version … ends somewhere, or somebody is playing. */
const HOPS_MAX = 8;

/** The URI from which MLflow's clients download a version: always `mlflow-artifacts:/…`. */
export async function findDownloadUri(deps: DownloadDeps, key: VersionKey): Promise<string> {
  let current = key;
  for (let hop = 0; hop < HOPS_MAX; hop += 1) {
    const { source, artifactId } = await getModelVersion(deps, current);
    if (artifactId !== null) return `mlflow-artifacts:/${artifactFolder(artifactId)}`;
    const other = /^models:\/([^/]+)\/(\d+)$/.exec(source);
    if (other === null) return resolve(deps, current.projectId, source);
    current = { ...current, model: other[1] ?? '', version: Number(other[2]) };
  }
  throw new AppError('INVALID_STATE', 'The version refers to versions that never end in files.');
}

async function resolve(deps: DownloadDeps, projectId: string, source: string): Promise<string> {
  const run = /^runs:\/([^/]+)(\/.*)?$/.exec(source);
  if (run === null) return source;
  const [, runId = '', path = ''] = run;
  return (await deps.runArtifactUri({ projectId, runId })) + path;
}
