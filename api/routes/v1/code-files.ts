import type { FastifyInstance } from 'fastify';
import { saveCodeFiles } from '../../../pipelines/code-files';
import type { PipelineRunDeps } from '../../../pipelines/pipeline-runs';
import { SaveCodeFiles } from '../../../schemas/code-files';
import { principalOf } from '../../app';

const write = { config: { permission: 'pipelines:write' } } as const;

/** Mounts POST /api/v1/code-files: which files a code bundle holds. */
export function registerCodeFiles(app: FastifyInstance, deps: PipelineRunDeps): void {
  app.post('/api/v1/code-files', write, async (request, reply) => {
    const { projectId } = principalOf(request);
    await saveCodeFiles(deps, { projectId, save: SaveCodeFiles.parse(request.body) });
    return reply.code(204).send();
  });
}
