import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { getLineage } from '../../../pipelines/lineage';
import type { PipelineRunDeps } from '../../../pipelines/pipeline-runs';
import { LineageKind, LineageQuery } from '../../../schemas/lineage';
import { principalOf } from '../../app';

/** The id as one part of the path: a slash in it is written %2F. */
const LineagePath = z.object({ kind: LineageKind, id: z.string().min(1).max(1000) });

/** What things were made of, and what was made of them. */
export function registerLineage(
  app: FastifyInstance,
  deps: Pick<PipelineRunDeps, 'postgres'>,
): void {
  const read = { config: { permission: 'pipelines:read' } } as const;
  app.get('/api/v1/lineage/:kind/:id', read, async (request) => {
    const { projectId } = principalOf(request);
    const { kind, id } = LineagePath.parse(request.params);
    return getLineage(deps, { projectId, kind, id, ...LineageQuery.parse(request.query) });
  });
}
