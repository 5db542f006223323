import type { FastifyInstance, FastifyRequest } from 'fastify';
import { basename } from 'node:path';
import { z } from 'zod';
import { AppError } from '../../../errors/app-error';
import type { FolderEntry } from '../../../storage/postgres/artifact-files';
import {
  assertWritablePath,
  deleteFile,
  listFiles,
  listRunArtifacts,
  openFile,
  putFile,
} from '../../../tracker/artifact-files';
import type { ArtifactDeps } from '../../../tracker/artifacts';
import { getRun } from '../../../tracker/runs';
import { principalOf } from '../../app';
import { mountStreams, sendBytes, STREAM_BODY, streamOf, wildcardOf } from '../../streams';
import { mountMlflow } from './wire';

const PREFIXES = ['/api/2.0/mlflow-artifacts', '/ajax-api/2.0/mlflow-artifacts'];
/** At these words MLflow's clients fall back to a plain PUT (http_artifact_repo.py). */
const NO_MULTIPART = 'Multipart upload is not supported for the current artifact repository';
const NO_PRESIGNED = 'Presigned URLs are not supported for the current artifact repository';
const ListQuery = z.object({ path: z.string().default('') });

/** Mounts MLflow's artifact proxy and `artifacts/list`. Bytes are streamed both ways. */
export function registerMlflowArtifacts(app: FastifyInstance, deps: ArtifactDeps): void {
  mountStreams(app, (scope) => {
    for (const prefix of PREFIXES) {
      registerFiles(scope, deps, prefix);
      registerUnsupported(scope, prefix);
    }
  });
  mountMlflow(app, {
    method: 'GET',
    path: 'artifacts/list',
    permission: 'artifacts:read',
    table: {
      run_id: { type: 'string' },
      run_uuid: { type: 'string' },
      path: { type: 'string' },
      page_token: { type: 'string' }, // read and ignored: every listing is one page
    },
    handler: async (message, request) => {
      const { projectId } = principalOf(request);
      const { run } = await getRun(deps, { projectId, runId: runIdOf(message) });
      const { artifactUri } = run;
      const at = { projectId, artifactUri, path: message.path ?? '' };
      const entries = await listRunArtifacts(deps, at);
      return { root_uri: artifactUri, files: entries.map(toFileInfo) };
    },
  });
  mountMlflow(app, {
    method: 'POST',
    path: 'artifacts/presigned-upload-url',
    permission: 'runs:write',
    table: {},
    handler: () => Promise.reject(new AppError('NOT_IMPLEMENTED', NO_PRESIGNED)),
  });
}

function runIdOf(message: { run_id: string | undefined; run_uuid: string | undefined }): string {
  const runId = message.run_id ?? message.run_uuid ?? '';
  if (runId !== '') return runId;
  throw new AppError('INVALID_ARGUMENT', "Missing value for required parameter 'run_id'.");
}

function toFileInfo({ name, isFolder, sizeBytes }: FolderEntry): object {
  return { path: name, is_dir: isFolder, ...(isFolder ? {} : { file_size: sizeBytes }) };
}

function registerFiles(app: FastifyInstance, deps: ArtifactDeps, prefix: string): void {
  const url = `${prefix}/artifacts/*`;
  // the files are the run's: a node, which may only store bytes under their digest, writes none
  const write = { config: { permission: 'runs:write' } } as const;
  // no HEAD: fastify would answer it by reading the whole file
  const read = { config: { permission: 'artifacts:read' }, exposeHeadRoute: false } as const;
  const writable = async (
    request: FastifyRequest,
  ): Promise<{ projectId: string; path: string }> => {
    const principal = principalOf(request);
    const path = wildcardOf(request);
    await assertWritablePath(deps, { principal, path });
    return { projectId: principal.projectId, path };
  };
  app.put(url, { ...write, ...STREAM_BODY }, async (request) => {
    await putFile(deps, { ...(await writable(request)), body: streamOf(request) });
    return {};
  });
  app.delete(url, write, async (request) => {
    await deleteFile(deps, await writable(request));
    return {};
  });
  app.get(url, read, async (request, reply) => {
    const { projectId } = principalOf(request);
    const file = await openFile(deps, { projectId, path: wildcardOf(request) });
    void reply.header('etag', `"${file.digest}"`);
    return sendBytes(reply, { ...file, name: basename(file.path) });
  });
  app.get(`${prefix}/artifacts`, read, async (request) => {
    const { path: folder } = ListQuery.parse(request.query);
    const entries = await listFiles(deps, { projectId: principalOf(request).projectId, folder });
    return { files: entries.map(toFileInfo) };
  });
}

/** Opt-in ways of MLflow's clients, which go on with plain PUT and GET after these answers. */
function registerUnsupported(app: FastifyInstance, prefix: string): void {
  for (const verb of ['create', 'complete', 'abort']) {
    const options = { config: { permission: 'runs:write' }, ...STREAM_BODY } as const;
    app.post(`${prefix}/mpu/${verb}/*`, options, () => {
      throw new AppError('NOT_IMPLEMENTED', NO_MULTIPART);
    });
  }
  app.get(`${prefix}/presigned/*`, { config: { permission: 'artifacts:read' } }, () => {
    throw new AppError('NOT_IMPLEMENTED', NO_PRESIGNED);
  });
}
