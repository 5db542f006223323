import type { FastifyInstance, FastifyRequest } from 'fastify';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { AppError } from '../../../errors/app-error';
import type { Principal } from '../../../schemas/tokens';
import { deleteFile, listFiles, openFile, putFile } from '../../../tracker/artifacts';
import type { ArtifactDeps, Receive } from '../../../tracker/artifacts';
import { checkArtifactPath } from '../../../tracker/artifact-paths';
import { assertWritableRun, getRun } from '../../../tracker/runs';
import { principalOf } from '../../app';
import { mountMlflow } from './wire';

type Deps = ArtifactDeps & { readonly receive: Receive };

const PREFIXES = ['/api/2.0/mlflow-artifacts', '/ajax-api/2.0/mlflow-artifacts'];
/** The text at which MLflow's clients fall back to a plain PUT. */
const NO_MULTIPART = 'Multipart upload is not supported for the current artifact repository';

/** Mounts MLflow's artifact proxy and `artifacts/list`. Bytes are streamed both ways. */
export function registerMlflowArtifacts(app: FastifyInstance, deps: Deps): void {
  void app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, parsed) => {
      parsed(null, payload);
    });
    for (const prefix of PREFIXES) registerProxy(scope, deps, prefix);
    done();
  });
  mountMlflow(app, {
    method: 'GET',
    path: 'artifacts/list',
    permission: 'artifacts:read',
    table: {
      run_id: { type: 'string' },
      run_uuid: { type: 'string' },
      path: { type: 'string' },
      page_token: { type: 'string' },
    },
    handler: async (message, request) => {
      const { projectId } = principalOf(request);
      const runId = message.run_id ?? message.run_uuid ?? '';
      const { run } = await getRun(deps, { projectId, runId });
      const root = run.artifactUri.replace(/^mlflow-artifacts:\/+/, '');
      const folder = message.path === undefined || message.path === '' ? '' : checkArtifactPath(message.path);
      const files = await listFiles(deps, { projectId, folder: folder === '' ? root : `${root}/${folder}` });
      return {
        root_uri: run.artifactUri,
        files: files.map((file) => toFileInfo(file, folder)),
      };
    },
  });
}

function toFileInfo(
  file: { readonly path: string; readonly isFolder: boolean; readonly sizeBytes: number },
  folder: string,
): object {
  return {
    path: folder === '' ? file.path : `${folder}/${file.path}`,
    is_dir: file.isFolder,
    ...(file.isFolder ? {} : { file_size: file.sizeBytes }),
  };
}

function registerProxy(app: FastifyInstance, deps: Deps, prefix: string): void {
  const url = `${prefix}/artifacts/*`;
  const write = { config: { permission: 'artifacts:write' } } as const;
  const read = { config: { permission: 'artifacts:read' } } as const;
  app.put(url, { ...write, bodyLimit: Number.MAX_SAFE_INTEGER }, async (request) => {
    const path = await writablePath(deps, request);
    const body = (request.body as Readable | undefined) ?? request.raw;
    await putFile(deps, { projectId: principalOf(request).projectId, path, body });
    return {};
  });
  app.delete(url, write, async (request) => {
    const path = await writablePath(deps, request);
    await deleteFile(deps, { projectId: principalOf(request).projectId, path });
    return {};
  });
  app.get(url, read, async (request, reply) => {
    const path = wildcard(request);
    const file = await openFile(deps, { projectId: principalOf(request).projectId, path });
    const name = encodeURIComponent(basename(file.path));
    return reply
      .header('content-length', file.sizeBytes)
      .header('content-disposition', `attachment; filename*=UTF-8''${name}`)
      .header('x-content-type-options', 'nosniff')
      .header('etag', `"${file.digest}"`)
      .type('application/octet-stream')
      .send(file.body);
  });
  app.get<{ Querystring: { path?: string } }>(`${prefix}/artifacts`, read, async (request) => {
    const folder = request.query.path ?? '';
    const files = await listFiles(deps, { projectId: principalOf(request).projectId, folder });
    return { files: files.map((file) => toFileInfo(file, '')) };
  });
  for (const verb of ['create', 'complete', 'abort']) {
    app.post(`${prefix}/mpu/${verb}/*`, write, () => {
      throw new AppError('NOT_IMPLEMENTED', NO_MULTIPART);
    });
  }
  app.get(`${prefix}/presigned/*`, read, () => {
    throw new AppError('NOT_IMPLEMENTED', 'Presigned downloads are not supported: use GET artifacts.');
  });
}

function wildcard(request: FastifyRequest): string {
  return checkArtifactPath((request.params as { '*': string })['*']);
}

/** Only `<experiment>/<run>/artifacts/…` of an active run of the caller's project takes writes. */
async function writablePath(deps: Deps, request: FastifyRequest): Promise<string> {
  const path = wildcard(request);
  const [experimentId, runId = '', folder, ...rest] = path.split('/');
  if (folder !== 'artifacts' || rest.length === 0) {
    throw new AppError('INVALID_ARGUMENT', 'Artifacts go below <experiment>/<run>/artifacts/.');
  }
  const principal: Principal = principalOf(request);
  const run = await assertWritableRun(deps, { principal, runId });
  if (String(run.experimentId) !== experimentId) {
    throw new AppError('INVALID_ARGUMENT', `Run ${runId} is not in experiment ${String(experimentId)}.`);
  }
  return path;
}
