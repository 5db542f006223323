import type { FastifyInstance, FastifyRequest } from 'fastify';
import { basename } from 'node:path';
import { AppError, found } from '../../../errors/app-error';
import { PlanUploads } from '../../../schemas/artifacts';
import type { ObjectStore, SignedRight } from '../../../storage/objects/store';
import { planUploads } from '../../../tracker/objects';
import type { ObjectDeps } from '../../../tracker/objects';
import { principalOf } from '../../app';
import { mountStreams, rangeOf, sendBytes, STREAM_BODY, streamOf, wildcardOf } from '../../streams';

/** Mounts /api/v1/objects/plan, and /objects/… if the store's signed URLs point to us. */
export function registerObjects(app: FastifyInstance, deps: ObjectDeps): void {
  app.post('/api/v1/objects/plan', { config: { permission: 'artifacts:write' } }, (request) => {
    const { objects } = PlanUploads.parse(request.body);
    return planUploads(deps, { projectId: principalOf(request).projectId, objects });
  });
  const { verifyUrl } = deps.objects;
  if (verifyUrl === undefined) return;
  mountStreams(app, (scope) => {
    registerTransfers(scope, deps.objects, verifyUrl);
  });
}

function registerTransfers(
  app: FastifyInstance,
  objects: ObjectStore,
  verifyUrl: NonNullable<ObjectStore['verifyUrl']>,
): void {
  const config = { permission: 'signed-url' } as const;
  const rightOf = (request: FastifyRequest): SignedRight => {
    const { method } = request;
    const query = new URL(request.url, 'http://localhost').searchParams;
    return verifyUrl({ method, key: wildcardOf(request), query });
  };
  app.put('/objects/*', { config, ...STREAM_BODY }, async (request, reply) => {
    const right = rightOf(request);
    if (right.method !== 'PUT') throw new AppError('PERMISSION_DENIED', 'This URL is for reading.');
    await objects.put(right.key, streamOf(request), right);
    return reply.code(200).send();
  });
  // no HEAD: fastify would answer it by reading the whole object
  app.get('/objects/*', { config, exposeHeadRoute: false }, async (request, reply) => {
    const { key } = rightOf(request);
    const name = basename(key);
    const sizeBytes = found(await objects.head(key), 'object', name);
    const range = rangeOf(request, sizeBytes);
    const body = found(await objects.get(key, range), 'object', name);
    // what is named by its digest never changes
    void reply.header('cache-control', 'private, max-age=31536000, immutable');
    void reply.header('accept-ranges', 'bytes');
    if (range === undefined) return sendBytes(reply, { name, sizeBytes, body });
    const { start, end } = range;
    void reply.code(206).header('content-range', `bytes ${start}-${end - 1}/${sizeBytes}`);
    return sendBytes(reply, { name, sizeBytes: end - start, body });
  });
}
