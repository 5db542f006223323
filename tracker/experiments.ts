import { z } from 'zod';
import { AppError, found } from '../errors/app-error';
import type { Experiment, KeyValue, LifecycleStage } from '../schemas/experiments';
import type { Postgres } from '../storage/postgres/client';
import {
  deleteExperimentTag,
  insertExperiment,
  renameExperiment,
  selectExperiment,
  selectExperimentByName,
  selectExperiments,
  selectExperimentTags,
  setExperimentStage,
  upsertExperimentTag,
} from '../storage/postgres/experiments';
import { checkKey, checkLength, checkMaxResults, TRACKER_LIMITS } from './limits';
import { readPageToken, toPage } from './page-token';

interface Deps {
  readonly postgres: Postgres;
}
interface At {
  readonly projectId: string;
  readonly id: number;
}
/** An experiment and its tags. */
export interface TaggedExperiment {
  readonly experiment: Experiment;
  readonly tags: readonly KeyValue[];
}
const SEARCH_MAX = 50_000;
const Cursor = z.strictObject({ createdMs: z.int(), id: z.int() });

/** Makes an experiment; ALREADY_EXISTS if the name is taken, also by a deleted one. */
export async function createExperiment(
  deps: Deps,
  input: { readonly projectId: string; readonly name: string; readonly tags: readonly KeyValue[] },
): Promise<Experiment> {
  const { projectId, name } = input;
  checkName(name);
  for (const tag of input.tags) checkTag(tag);
  return deps.postgres.transaction(async (sql) => {
    const created = await insertExperiment(sql, { projectId, name });
    if (created === undefined) {
      const taken = await selectExperimentByName(sql, { projectId, name });
      const deleted = taken?.lifecycleStage === 'deleted' ? ' in the deleted state' : '';
      throw new AppError('ALREADY_EXISTS', `Experiment '${name}' already exists${deleted}.`);
    }
    for (const tag of input.tags)
      await upsertExperimentTag(sql, { projectId, id: created.id, ...tag });
    return created;
  });
}

function checkName(name: string): void {
  checkLength('name', name, TRACKER_LIMITS.experimentNameChars);
}

function checkTag({ key, value }: KeyValue): void {
  checkKey('tag', key, 'key');
  checkLength('value', value, TRACKER_LIMITS.experimentTagValueChars);
}

/** An experiment in any stage, or NOT_FOUND. */
export async function getExperiment(deps: Deps, at: At): Promise<TaggedExperiment> {
  const experiment = await selectExperiment(deps.postgres, at);
  return withTags(deps, at.projectId, found(experiment, 'experiment', String(at.id)));
}

/** An experiment of that name in any stage, or NOT_FOUND. */
export async function getExperimentByName(
  deps: Deps,
  at: { readonly projectId: string; readonly name: string },
): Promise<TaggedExperiment> {
  const experiment = await selectExperimentByName(deps.postgres, at);
  return withTags(deps, at.projectId, found(experiment, 'experiment', at.name));
}

async function withTags(
  deps: Deps,
  projectId: string,
  experiment: Experiment,
): Promise<TaggedExperiment> {
  const [tagged] = await addTags(deps, projectId, [experiment]);
  return tagged ?? { experiment, tags: [] };
}

async function addTags(
  deps: Deps,
  projectId: string,
  experiments: readonly Experiment[],
): Promise<TaggedExperiment[]> {
  const ids = experiments.map((experiment) => experiment.id);
  const tags = await selectExperimentTags(deps.postgres, { projectId, ids });
  return experiments.map((experiment) => ({
    experiment,
    tags: tags.filter((tag) => tag.experimentId === experiment.id),
  }));
}

/** A page of experiments, newest first. */
export async function searchExperiments(
  deps: Deps,
  input: {
    readonly projectId: string;
    readonly stages: readonly LifecycleStage[];
    readonly maxResults: number | undefined;
    readonly pageToken: string | undefined;
  },
): Promise<{ experiments: TaggedExperiment[]; nextPageToken: string | undefined }> {
  const { projectId, stages } = input;
  const limit = checkMaxResults(input.maxResults, { most: SEARCH_MAX, unset: 0 });
  const after = readPageToken(input.pageToken, Cursor);
  const rows = await selectExperiments(deps.postgres, {
    projectId,
    stages,
    after,
    limit: limit + 1,
  });
  const { page, nextPageToken } = toPage(rows, limit, ({ createdMs, id }) => ({ createdMs, id }));
  return { experiments: await addTags(deps, projectId, page), nextPageToken };
}

/** Renames an active experiment. */
export async function updateExperiment(
  deps: Deps,
  at: At & { readonly name: string },
): Promise<void> {
  checkName(at.name);
  await assertActive(deps, at);
  if (await renameExperiment(deps.postgres, at)) return;
  throw new AppError('ALREADY_EXISTS', `Experiment '${at.name}' already exists.`);
}

/** The experiment if it takes writes. */
export async function assertActive(deps: Deps, at: At): Promise<Experiment> {
  const experiment = found(await selectExperiment(deps.postgres, at), 'experiment', String(at.id));
  if (experiment.lifecycleStage === 'active') return experiment;
  const message = `The experiment ${at.id} must be in the 'active' state. Current state is deleted.`;
  throw new AppError('INVALID_ARGUMENT', message);
}

/** Deletes or restores an experiment with all of its runs; NOT_FOUND if it is there already. */
export async function moveExperiment(
  deps: Deps,
  at: At & { readonly stage: LifecycleStage },
): Promise<void> {
  const moved = await deps.postgres.transaction((sql) => setExperimentStage(sql, at));
  if (!moved) {
    const wanted = at.stage === 'deleted' ? 'active' : 'deleted';
    throw new AppError('NOT_FOUND', `No ${wanted} experiment '${at.id}' was found.`);
  }
}

/** Sets a tag of an active experiment. */
export async function setExperimentTag(deps: Deps, at: At & KeyValue): Promise<void> {
  checkTag(at);
  await assertActive(deps, at);
  await upsertExperimentTag(deps.postgres, at);
}

/** Removes a tag; NOT_FOUND if there is none. */
export async function removeExperimentTag(
  deps: Deps,
  at: At & { readonly key: string },
): Promise<void> {
  await assertActive(deps, at);
  if (await deleteExperimentTag(deps.postgres, at)) return;
  throw new AppError('NOT_FOUND', `Experiment ${at.id} has no tag '${at.key}'.`);
}
