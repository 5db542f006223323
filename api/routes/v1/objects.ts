import type { FastifyInstance } from 'fastify';
import type { Readable } from 'node:stream';
import { AppError } from '../../../errors/app-error';
import { PlanUploads } from '../../../schemas/artifacts';
import { verifySignedUrl } from '../../../storage/objects/directory';
import type { ArtifactDeps } from '../../../tracker/artifacts';
import { planUploads } from '../../../tracker/artifacts';
import { principalOf } from '../../app';

/** `signingKey` is set for the directory driver only: then the api serves the bytes itself. */
export interface ObjectDeps extends ArtifactDeps {
  readonly signingKey?: string | undefined;
}

/** Mounts /api/v1/objects/plan, and /objects/… for the directory driver. */
export function registerObjects(app: FastifyInstance, deps: ObjectDeps): void {
  app.post('/api/v1/objects/plan', { config: { permission: 'artifacts:write' } }, (request) => {
    const { objects } = PlanUploads.parse(request.body);
    return planUploads(deps, { projectId: principalOf(request).projectId, objects });
  });
  const { signingKey } = deps;
  if (signingKey === undefined) return;
  // a scope of its own: here any body is a stream, never read into memory
  void app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, parsed) => {
      parsed(null, payload);
    });
    registerTransfers(scope, { objects: deps.objects, signingKey });
    done();
  });
}

function registerTransfers(
  app: FastifyInstance,
  deps: Pick<ArtifactDeps, 'objects'> & { readonly signingKey: string },
): void {
  const rightOf = (request: { method: string; url: string; params: unknown }): ReturnType<typeof verifySignedUrl> =>
    verifySignedUrl(deps.signingKey, {
      method: request.method === 'HEAD' ? 'GET' : request.method,
      key: (request.params as { '*': string })['*'],
      query: new URL(request.url, 'http://localhost').searchParams,
    });
  app.put('/objects/*', { config: { permission: 'signed-url' }, bodyLimit: Number.MAX_SAFE_INTEGER }, async (request, reply) => {
    const right = rightOf(request);
    if (right.method !== 'PUT') throw new AppError('PERMISSION_DENIED', 'This URL is for reading.');
    await deps.objects.put(right.key, (request.body as Readable | undefined) ?? request.raw, right);
    return reply.code(200).send();
  });
  app.get('/objects/*', { config: { permission: 'signed-url' } }, async (request, reply) => {
    const right = rightOf(request);
    const sizeBytes = await deps.objects.head(right.key);
    const body = await deps.objects.get(right.key);
    if (sizeBytes === undefined || body === undefined) {
      throw new AppError('NOT_FOUND', 'The object does not exist.');
    }
    return reply
      .header('content-length', sizeBytes)
      .header('content-disposition', 'attachment')
      .header('x-content-type-options', 'nosniff')
      .header('cache-control', 'private, max-age=31536000, immutable')
      .type('application/octet-stream')
      .send(body);
  });
}
