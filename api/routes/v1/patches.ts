import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { getPatch } from '../../../pipelines/patches';
import type { ObjectDeps } from '../../../tracker/objects';
import { principalOf } from '../../app';

const ById = z.object({ id: z.string().min(1).max(200) });
/** No HEAD: fastify would answer it by reading the whole patch. */
const read = { config: { permission: 'pipelines:read' }, exposeHeadRoute: false } as const;

/** In what the code of runs differed from its commit. */
export function registerPatches(app: FastifyInstance, deps: ObjectDeps): void {
  app.get('/api/v1/pipeline-runs/:id/patch', read, async (request, reply) => {
    const { projectId } = principalOf(request);
    const patch = await getPatch(deps, { projectId, id: ById.parse(request.params).id });
    return reply
      .header('x-content-type-options', 'nosniff')
      .type('text/plain; charset=utf-8')
      .send(patch);
  });
}
