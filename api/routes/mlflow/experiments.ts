import type { FastifyInstance } from 'fastify';
import { AppError } from '../../../errors/app-error';
import type { LifecycleStage } from '../../../schemas/experiments';
import type { Postgres } from '../../../storage/postgres/client';
import * as experiments from '../../../tracker/experiments';
import type { TaggedExperiment } from '../../../tracker/experiments';
import { principalOf } from '../../app';
import { mountMlflow } from './wire';

interface Deps {
  readonly postgres: Postgres;
}
const ID = { experiment_id: { type: 'string', required: true } } as const;

/** The number of an experiment; INVALID_ARGUMENT for anything but an integer. */
export function experimentIdOf(text: string): number {
  const id = /^-?\d{1,100}$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(id)) return id;
  // ids of other servers may be longer than ours ever get
  if (!Number.isNaN(id)) throw new AppError('NOT_FOUND', `No experiment '${text}' was found.`);
  throw new AppError(
    'INVALID_ARGUMENT',
    `Invalid experiment ID '${text}'. Experiment ID must be a valid integer.`,
  );
}

/** The stages that a view type asks for; names and numbers are both sent. */
export function stagesOf(viewType: string | undefined): readonly LifecycleStage[] {
  switch ((viewType ?? '').toUpperCase()) {
    case '':
    case '1':
    case 'ACTIVE_ONLY':
      return ['active'];
    case '2':
    case 'DELETED_ONLY':
      return ['deleted'];
    case '3':
    case 'ALL':
      return ['active', 'deleted'];
    default: {
      const text = `Invalid view type '${viewType ?? ''}': it is ACTIVE_ONLY, DELETED_ONLY or ALL.`;
      throw new AppError('INVALID_ARGUMENT', text);
    }
  }
}

/** Refuses what this version cannot search by, rather than giving wrong rows. */
export function refuseFilter(message: {
  readonly filter: string | undefined;
  readonly order_by: readonly string[] | undefined;
}): void {
  if (message.filter !== undefined && message.filter.trim() !== '') {
    throw new AppError(
      'INVALID_ARGUMENT',
      'A filter is not supported in this version: leave it out.',
    );
  }
  const orders = message.order_by ?? [];
  if (orders.length > 0) {
    throw new AppError(
      'INVALID_ARGUMENT',
      'order_by is not supported in this version: leave it out.',
    );
  }
}

function toWire({ experiment, tags }: TaggedExperiment): object {
  return {
    experiment_id: String(experiment.id),
    name: experiment.name,
    artifact_location: experiment.artifactLocation,
    lifecycle_stage: experiment.lifecycleStage,
    creation_time: experiment.createdMs,
    last_update_time: experiment.updatedMs,
    tags: tags.map(({ key, value }) => ({ key, value })),
  };
}

/** Mounts MLflow's experiment routes. */
export function registerMlflowExperiments(app: FastifyInstance, deps: Deps): void {
  registerReads(app, deps);
  registerWrites(app, deps);
  registerMoves(app, deps);
  registerTags(app, deps);
}

function registerReads(app: FastifyInstance, deps: Deps): void {
  const permission = 'experiments:read';
  mountMlflow(app, {
    method: 'GET',
    path: 'experiments/get',
    permission,
    table: ID,
    handler: async (message, request) => {
      const { projectId } = principalOf(request);
      const id = experimentIdOf(message.experiment_id);
      return { experiment: toWire(await experiments.getExperiment(deps, { projectId, id })) };
    },
  });
  mountMlflow(app, {
    method: 'GET',
    path: 'experiments/get-by-name',
    permission,
    table: { experiment_name: { type: 'string', required: true } },
    handler: async (message, request) => {
      const { projectId } = principalOf(request);
      const name = message.experiment_name;
      return {
        experiment: toWire(await experiments.getExperimentByName(deps, { projectId, name })),
      };
    },
  });
  mountMlflow(app, {
    method: ['GET', 'POST'],
    path: 'experiments/search',
    permission,
    table: {
      max_results: { type: 'int64' },
      page_token: { type: 'string' },
      filter: { type: 'string' },
      order_by: { type: 'strings' },
      view_type: { type: 'enum' },
    },
    handler: async (message, request) => {
      refuseFilter(message);
      const found = await experiments.searchExperiments(deps, {
        projectId: principalOf(request).projectId,
        stages: stagesOf(message.view_type),
        maxResults: message.max_results,
        pageToken: message.page_token,
      });
      return {
        experiments: found.experiments.map(toWire),
        next_page_token: found.nextPageToken,
      };
    },
  });
}

function registerWrites(app: FastifyInstance, deps: Deps): void {
  const permission = 'experiments:write';
  mountMlflow(app, {
    method: 'POST',
    path: 'experiments/create',
    permission,
    table: {
      name: { type: 'string', required: true },
      artifact_location: { type: 'string' },
      tags: { type: [{ key: { type: 'string', required: true }, value: { type: 'string' } }] },
    },
    handler: async (message, request) => {
      if (message.artifact_location !== undefined && message.artifact_location !== '') {
        const text = 'artifact_location is chosen by the server: leave it out.';
        throw new AppError('INVALID_ARGUMENT', text);
      }
      const tags = (message.tags ?? []).map(({ key, value }) => ({ key, value: value ?? '' }));
      const { projectId } = principalOf(request);
      const created = await experiments.createExperiment(deps, {
        projectId,
        name: message.name,
        tags,
      });
      return { experiment_id: String(created.id) };
    },
  });
  mountMlflow(app, {
    method: 'POST',
    path: 'experiments/update',
    permission: 'experiments:manage',
    table: { ...ID, new_name: { type: 'string', required: true } },
    handler: async (message, request) => {
      const at = {
        projectId: principalOf(request).projectId,
        id: experimentIdOf(message.experiment_id),
      };
      await experiments.updateExperiment(deps, { ...at, name: message.new_name });
      return {};
    },
  });
}

function registerMoves(app: FastifyInstance, deps: Deps): void {
  const permission = 'experiments:manage';
  for (const [path, stage] of [
    ['delete', 'deleted'],
    ['restore', 'active'],
  ] as const) {
    mountMlflow(app, {
      method: 'POST',
      path: `experiments/${path}`,
      permission,
      table: ID,
      handler: async (message, request) => {
        const at = {
          projectId: principalOf(request).projectId,
          id: experimentIdOf(message.experiment_id),
        };
        await experiments.moveExperiment(deps, { ...at, stage });
        return {};
      },
    });
  }
}

function registerTags(app: FastifyInstance, deps: Deps): void {
  const permission = 'experiments:manage';
  const tag = { ...ID, key: { type: 'string', required: true } } as const;
  mountMlflow(app, {
    method: 'POST',
    path: 'experiments/set-experiment-tag',
    permission,
    table: { ...tag, value: { type: 'string' } },
    handler: async (message, request) => {
      const at = {
        projectId: principalOf(request).projectId,
        id: experimentIdOf(message.experiment_id),
      };
      await experiments.setExperimentTag(deps, {
        ...at,
        key: message.key,
        value: message.value ?? '',
      });
      return {};
    },
  });
  mountMlflow(app, {
    method: 'POST',
    path: 'experiments/delete-experiment-tag',
    permission,
    table: tag,
    handler: async (message, request) => {
      const at = {
        projectId: principalOf(request).projectId,
        id: experimentIdOf(message.experiment_id),
      };
      await experiments.removeExperimentTag(deps, { ...at, key: message.key });
      return {};
    },
  });
}
