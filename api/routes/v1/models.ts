import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import {
  listAliasHistory,
  requestAliasChange,
  type SubmitAliasChange,
} from '../../../registry/model-aliases';
import { searchModelVersions } from '../../../registry/model-versions';
import {
  getRegisteredModel,
  searchRegisteredModels,
  type RegistryDeps,
} from '../../../registry/registered-models';
import { SetAlias } from '../../../schemas/model-aliases';
import { principalOf } from '../../app';

export type ModelsDeps = RegistryDeps & { readonly changeAlias: SubmitAliasChange };

const ListModels = z.strictObject({
  after: z.string().max(256).optional(), // the last name of the page before
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});
const ModelPath = z.object({ name: z.string() });
const AliasPath = z.object({ name: z.string(), alias: z.string() });
/** The newest versions that a model's page shows; older ones are found by MLflow's search. */
const VERSIONS_SHOWN_MAX = 200;

/** Mounts /api/v1/models: the list, a model with all that belongs to it, changes of an alias. */
export function registerModels(app: FastifyInstance, deps: ModelsDeps): void {
  app.get('/api/v1/models', { config: { permission: 'models:read' } }, async (request) => {
    const { projectId } = principalOf(request);
    const { after: afterName, limit } = ListModels.parse(request.query);
    return searchRegisteredModels(deps, { projectId, afterName, limit });
  });

  app.get('/api/v1/models/:name', { config: { permission: 'models:read' } }, async (request) => {
    const { projectId } = principalOf(request);
    const { name } = ModelPath.parse(request.params);
    const model = await getRegisteredModel(deps, { projectId, name });
    const page = { projectId, model: name, limit: VERSIONS_SHOWN_MAX };
    const [{ versions }, aliasHistory] = await Promise.all([
      searchModelVersions(deps, page),
      listAliasHistory(deps, page),
    ]);
    return { ...model, versions, aliasHistory };
  });

  app.put(
    '/api/v1/models/:name/aliases/:alias',
    { config: { permission: 'models:write' } },
    async (request) => {
      const { projectId, name: actor } = principalOf(request);
      const { name: model, alias } = AliasPath.parse(request.params);
      const {
        expectedVersion,
        idempotencyKey = request.id,
        ...body
      } = SetAlias.parse(request.body);
      const expected = expectedVersion === undefined ? {} : { expectedVersion };
      const change = { ...body, ...expected, alias, actor, idempotencyKey };
      return requestAliasChange(deps, { projectId, model, change });
    },
  );
}
