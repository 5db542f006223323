import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { startDeployed } from '../../../pipelines/deployed-runs';
import * as deployments from '../../../pipelines/deployments';
import { renewHookToken } from '../../../pipelines/hooks';
import type { PipelineRunStart } from '../../../pipelines/pipeline-runs';
import {
  DeploymentName,
  DEPLOYMENTS_MAX,
  PutDeployment,
  StartDeployed,
} from '../../../schemas/deployments';
import { principalOf } from '../../app';

const ByName = z.object({ name: DeploymentName });
const ListQuery = z.strictObject({
  after: z.string().max(100).default(''),
  limit: z.coerce.number().int().min(1).max(DEPLOYMENTS_MAX).default(50),
});
/** These say nothing more; no body at all is fine. */
const Nothing = z.strictObject({}).optional();
const BASE = '/api/v1/pipelines';
const read = { config: { permission: 'pipelines:read' } } as const;
const write = { config: { permission: 'pipelines:write' } } as const;

function keyOf(request: FastifyRequest): { projectId: string; name: string; actor: string } {
  const { projectId, name: actor } = principalOf(request);
  return { projectId, actor, name: ByName.parse(request.params).name };
}

/** Pipelines that are deployed: they start runs by themselves. */
export function registerDeployments(
  app: FastifyInstance,
  deps: deployments.DeploymentDeps & PipelineRunStart,
): void {
  app.put(`${BASE}/:name`, write, (request) => {
    const put = PutDeployment.parse(request.body);
    return deployments.deploy(deps, keyOf(request), put);
  });
  app.delete(`${BASE}/:name`, write, async (request, reply) => {
    Nothing.parse(request.body);
    await deployments.deleteDeployment(deps, keyOf(request));
    return reply.code(204).send();
  });
  app.post(`${BASE}/:name/hook-token`, write, (request) => {
    Nothing.parse(request.body);
    return renewHookToken(deps, keyOf(request));
  });
  app.post(`${BASE}/:name/runs`, write, async (request, reply) => {
    const start = StartDeployed.parse(request.body);
    const { actor, ...key } = keyOf(request);
    const trigger = { kind: 'request' as const, subject: actor, chain: [] };
    return reply.code(201).send(await startDeployed(deps, key, { ...start, trigger }));
  });
  app.get(BASE, read, (request) => {
    const { projectId } = principalOf(request);
    return deployments.listDeployments(deps, { projectId, ...ListQuery.parse(request.query) });
  });
  app.get(`${BASE}/:name`, read, (request) => deployments.getDeployment(deps, keyOf(request)));
}
