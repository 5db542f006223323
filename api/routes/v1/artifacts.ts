import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { Manifest } from '../../../schemas/artifacts';
import type { ArtifactDeps } from '../../../tracker/artifacts';
import { commitArtifact, signDownloads } from '../../../tracker/artifacts';
import { principalOf } from '../../app';

const CommitArtifact = z.strictObject({
  kind: z.string().min(1).max(100),
  manifest: Manifest.min(1).max(10_000),
});

/** Mounts POST /api/v1/artifacts (commit) and GET /api/v1/artifacts/:id (with URLs). */
export function registerArtifacts(app: FastifyInstance, deps: ArtifactDeps): void {
  app.post(
    '/api/v1/artifacts',
    { config: { permission: 'artifacts:write' } },
    async (request, reply) => {
      const body = CommitArtifact.parse(request.body);
      const id = await commitArtifact(deps, { projectId: principalOf(request).projectId, ...body });
      return reply.code(201).send({ id });
    },
  );
  app.get<{ Params: { id: string } }>(
    '/api/v1/artifacts/:id',
    { config: { permission: 'artifacts:read' } },
    (request) =>
      signDownloads(deps, {
        projectId: principalOf(request).projectId,
        artifactId: request.params.id,
      }),
  );
}
