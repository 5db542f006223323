import { randomUUID } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { AppError } from '../../../errors/app-error';
import {
  findVersionByAlias,
  requestAliasChange,
  type SubmitAliasChange,
} from '../../../registry/model-aliases';
import { newestVersions } from '../../../registry/model-versions';
import {
  createRegisteredModel,
  describeRegisteredModel,
  getRegisteredModel,
  searchRegisteredModels,
  tagRegisteredModel,
  untagRegisteredModel,
  type RegistryDeps,
} from '../../../registry/registered-models';
import type { RegisteredModel } from '../../../schemas/registered-models';
import { readPageToken, writePageToken } from '../../../tracker/page-token';
import { principalOf } from '../../app';
import { assertOrder, pageLimit, readRegistryFilter } from './registry-search';
import { readTags, TAG_TABLE, writeModel, writeVersion } from './registry-wire';
import { mountMlflow } from './wire';

export type MlflowRegisteredModelsDeps = RegistryDeps & { readonly changeAlias: SubmitAliasChange };

const NAME = { name: { type: 'string', required: true } } as const;
const ALIAS = { ...NAME, alias: { type: 'string', required: true } } as const;
/** MLflow's default and maximum. */
const PAGE = { fallback: 100, max: 1_000 };

/** Mounts `registered-models/…` of MLflow's registry. */
export function registerMlflowRegisteredModels(
  app: FastifyInstance,
  deps: MlflowRegisteredModelsDeps,
): void {
  mountModels(app, deps);
  mountSearch(app, deps);
  mountTags(app, deps);
  mountAliases(app, deps);
}

async function withNewest(
  deps: RegistryDeps,
  projectId: string,
  models: readonly RegisteredModel[],
): Promise<object[]> {
  const newest = await newestVersions(deps, { projectId, models: models.map((m) => m.name) });
  return models.map((model) => writeModel(model, newest.get(model.name)));
}

function mountModels(app: FastifyInstance, deps: RegistryDeps): void {
  mountMlflow(app, {
    method: 'POST',
    path: 'registered-models/create',
    permission: 'models:write',
    table: { ...NAME, description: { type: 'string' }, tags: { type: [TAG_TABLE] } },
    handler: async ({ name, description = '', tags }, request) => {
      const { projectId, name: actor } = principalOf(request);
      const input = { projectId, name, description, tags: readTags(tags), actor };
      return { registered_model: writeModel(await createRegisteredModel(deps, input), undefined) };
    },
  });
  mountMlflow(app, {
    method: 'GET',
    path: 'registered-models/get',
    permission: 'models:read',
    table: NAME,
    handler: async ({ name }, request) => {
      const { projectId } = principalOf(request);
      const model = await getRegisteredModel(deps, { projectId, name });
      const [registered_model] = await withNewest(deps, projectId, [model]);
      return { registered_model };
    },
  });
  mountMlflow(app, {
    method: 'PATCH',
    path: 'registered-models/update',
    permission: 'models:write',
    table: { ...NAME, description: { type: 'string' } },
    handler: async ({ name, description = '' }, request) => {
      const { projectId } = principalOf(request);
      const model = await describeRegisteredModel(deps, { projectId, name, description });
      const [registered_model] = await withNewest(deps, projectId, [model]);
      return { registered_model };
    },
  });
}

function mountSearch(app: FastifyInstance, deps: RegistryDeps): void {
  mountMlflow(app, {
    method: 'GET',
    path: 'registered-models/search',
    permission: 'models:read',
    table: {
      filter: { type: 'string' },
      max_results: { type: 'int64' },
      order_by: { type: 'strings' },
      page_token: { type: 'string' },
    },
    handler: async ({ filter, max_results, order_by, page_token }, request) => {
      const { projectId } = principalOf(request);
      const { name, withoutTag, runId } = readRegistryFilter(filter);
      if (runId !== undefined) {
        throw new AppError('INVALID_ARGUMENT', "Registered models have no attribute 'run_id'.");
      }
      assertOrder(order_by, ['name', 'name asc']);
      const afterName = readPageToken(page_token, z.string());
      const limit = pageLimit(max_results, PAGE);
      const page = { projectId, afterName, name, withoutTag, limit };
      const { models, next } = await searchRegisteredModels(deps, page);
      const registered_models = await withNewest(deps, projectId, models);
      const next_page_token = next === undefined ? undefined : writePageToken(next);
      return { registered_models, next_page_token };
    },
  });
  mountMlflow(app, {
    method: ['GET', 'POST'],
    path: 'registered-models/get-latest-versions',
    permission: 'models:read',
    table: { ...NAME, stages: { type: 'strings' } },
    handler: async ({ name, stages = [] }, request) => {
      const { projectId } = principalOf(request);
      await getRegisteredModel(deps, { projectId, name });
      const wanted = stages.length === 0 || stages.some((stage) => /^none$/i.test(stage));
      const newest = await newestVersions(deps, { projectId, models: wanted ? [name] : [] });
      return { model_versions: [...newest.values()].map(writeVersion) };
    },
  });
}

function mountTags(app: FastifyInstance, deps: RegistryDeps): void {
  mountMlflow(app, {
    method: 'POST',
    path: 'registered-models/set-tag',
    permission: 'models:write',
    table: { ...NAME, ...TAG_TABLE },
    handler: async ({ name, key, value = '' }, request) => {
      const { projectId } = principalOf(request);
      await tagRegisteredModel(deps, { projectId, name, key, value });
      return {};
    },
  });
  mountMlflow(app, {
    method: 'DELETE',
    path: 'registered-models/delete-tag',
    permission: 'models:write',
    table: { ...NAME, key: { type: 'string', required: true } },
    handler: async ({ name, key }, request) => {
      const { projectId } = principalOf(request);
      await untagRegisteredModel(deps, { projectId, name, key });
      return {};
    },
  });
}

function mountAliases(app: FastifyInstance, deps: MlflowRegisteredModelsDeps): void {
  const path = 'registered-models/alias';
  mountMlflow(app, {
    method: 'GET',
    path,
    permission: 'models:read',
    table: ALIAS,
    handler: async ({ name: model, alias }, request) => {
      const { projectId } = principalOf(request);
      const version = await findVersionByAlias(deps, { projectId, model, alias });
      if (version !== undefined) return { model_version: writeVersion(version) };
      throw new AppError('INVALID_ARGUMENT', `Registered model alias ${alias} not found.`);
    },
  });
  mountMlflow(app, {
    method: 'POST',
    path,
    permission: 'models:write',
    table: { ...ALIAS, version: { type: 'int64', required: true } },
    handler: async ({ name: model, alias, version }, request) => {
      const { projectId, name: actor } = principalOf(request);
      const change = { alias, version, actor, reason: '', idempotencyKey: randomUUID() };
      await requestAliasChange(deps, { projectId, model, change });
      return {};
    },
  });
  mountMlflow(app, {
    method: 'DELETE',
    path,
    permission: 'models:write',
    table: ALIAS,
    handler: async ({ name: model, alias }, request) => {
      const { projectId, name: actor } = principalOf(request);
      const change = { alias, version: null, actor, reason: '', idempotencyKey: randomUUID() };
      await requestAliasChange(deps, { projectId, model, change });
      return {};
    },
  });
}
