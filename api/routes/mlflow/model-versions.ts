import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import {
  createModelVersion,
  describeModelVersion,
  findDownloadUri,
  getModelVersion,
  searchModelVersions,
  tagModelVersion,
  untagModelVersion,
} from '../../../registry/model-versions';
import type { RegistryDeps } from '../../../registry/registered-models';
import { readPageToken, writePageToken } from '../../../tracker/page-token';
import { principalOf } from '../../app';
import { assertOrder, pageLimit, readRegistryFilter } from './registry-search';
import { readTags, TAG_TABLE, writeVersion } from './registry-wire';
import { mountMlflow } from './wire';

const NAME = { name: { type: 'string', required: true } } as const;
const VERSION = { ...NAME, version: { type: 'int64', required: true } } as const;
/** MLflow's maximum; pages hold at most 1,000 all the same. */
const PAGE = { fallback: 1_000, max: 200_000 };
const Place = z.object({ model: z.string(), version: z.number().int() });

/** Mounts `model-versions/…` of MLflow's registry. */
export function registerMlflowModelVersions(app: FastifyInstance, deps: RegistryDeps): void {
  mountVersions(app, deps);
  mountReads(app, deps);
  mountTags(app, deps);
}

function mountVersions(app: FastifyInstance, deps: RegistryDeps): void {
  mountMlflow(app, {
    method: 'POST',
    path: 'model-versions/create',
    permission: 'models:write',
    table: {
      ...NAME,
      source: { type: 'string', required: true },
      run_id: { type: 'string' },
      tags: { type: [TAG_TABLE] },
      description: { type: 'string' },
    },
    handler: async ({ name: model, source, run_id, tags, description = '' }, request) => {
      const { projectId, name: actor } = principalOf(request);
      const version = await createModelVersion(deps, {
        projectId,
        model,
        source,
        ...(run_id === undefined || run_id === '' ? {} : { runId: run_id }),
        tags: readTags(tags),
        description,
        actor,
      });
      return { model_version: writeVersion(version) };
    },
  });
  mountMlflow(app, {
    method: 'PATCH',
    path: 'model-versions/update',
    permission: 'models:write',
    table: { ...VERSION, description: { type: 'string' } },
    handler: async ({ name: model, version, description = '' }, request) => {
      const { projectId } = principalOf(request);
      const change = { projectId, model, version, description };
      return { model_version: writeVersion(await describeModelVersion(deps, change)) };
    },
  });
}

function mountReads(app: FastifyInstance, deps: RegistryDeps): void {
  mountMlflow(app, {
    method: 'GET',
    path: 'model-versions/get',
    permission: 'models:read',
    table: VERSION,
    handler: async ({ name: model, version }, request) => {
      const { projectId } = principalOf(request);
      const found = await getModelVersion(deps, { projectId, model, version });
      return { model_version: writeVersion(found) };
    },
  });
  mountMlflow(app, {
    method: 'GET',
    path: 'model-versions/get-download-uri',
    permission: 'models:read',
    table: VERSION,
    handler: async ({ name: model, version }, request) => {
      const { projectId } = principalOf(request);
      return { artifact_uri: await findDownloadUri(deps, { projectId, model, version }) };
    },
  });
  mountMlflow(app, {
    method: 'GET',
    path: 'model-versions/search',
    permission: 'models:read',
    table: {
      filter: { type: 'string' },
      max_results: { type: 'int64' },
      order_by: { type: 'strings' },
      page_token: { type: 'string' },
    },
    handler: async ({ filter, max_results, order_by, page_token }, request) => {
      const { projectId } = principalOf(request);
      const { name: model, runId } = readRegistryFilter(filter);
      assertOrder(order_by, ['name', 'name asc', 'version_number desc']);
      const after = readPageToken(page_token, Place);
      const limit = pageLimit(max_results, PAGE);
      const page = { projectId, model, runId, after, limit };
      const { versions, next } = await searchModelVersions(deps, page);
      const next_page_token = next === undefined ? undefined : writePageToken(next);
      return { model_versions: versions.map(writeVersion), next_page_token };
    },
  });
}

function mountTags(app: FastifyInstance, deps: RegistryDeps): void {
  mountMlflow(app, {
    method: 'POST',
    path: 'model-versions/set-tag',
    permission: 'models:write',
    table: { ...VERSION, ...TAG_TABLE },
    handler: async ({ name: model, version, key, value = '' }, request) => {
      const { projectId } = principalOf(request);
      await tagModelVersion(deps, { projectId, model, version, key, value });
      return {};
    },
  });
  mountMlflow(app, {
    method: 'DELETE',
    path: 'model-versions/delete-tag',
    permission: 'models:write',
    table: { ...VERSION, key: { type: 'string', required: true } },
    handler: async ({ name: model, version, key }, request) => {
      const { projectId } = principalOf(request);
      await untagModelVersion(deps, { projectId, model, version, key });
      return {};
    },
  });
}
