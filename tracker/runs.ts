import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { AppError, found } from '../errors/app-error';
import type { KeyValue, LifecycleStage } from '../schemas/experiments';
import type { Run, RunDetail, RunStatus } from '../schemas/runs';
import type { Principal } from '../schemas/tokens';
import type { Postgres, Sql } from '../storage/postgres/client';
import { selectLatestMetrics } from '../storage/postgres/metrics';
import { selectParams } from '../storage/postgres/params';
import { insertRun, selectRun, selectRuns, setRunStage, updateRun } from '../storage/postgres/runs';
import { deleteTag, selectTags, upsertTags } from '../storage/postgres/tags';
import { assertNewestAttempt, createOrAdoptRun } from './adoption';
import { assertActive } from './experiments';
import { checkLength, checkMaxResults, checkTags, cutText, TRACKER_LIMITS } from './limits';
import { readPageToken, toPage } from './page-token';
import { randomRunName } from './run-names';

const RUN_NAME_TAG = 'mlflow.runName';
const PARENT_TAG = 'mlflow.parentRunId';
const SEARCH_MAX = 50_000;
const SEARCH_DEFAULT = 1_000;
const Cursor = z.strictObject({ startedMs: z.int(), id: z.string().regex(/^[0-9a-f]{32}$/) });

interface Deps {
  readonly postgres: Postgres;
}

/** Starts a tracked run; under an attempt's token it may be the run of an earlier attempt. */
export async function createRun(
  deps: Deps,
  input: {
    readonly principal: Principal;
    readonly experimentId: number;
    readonly name: string | undefined;
    readonly userId: string;
    readonly startedMs: number | undefined;
    readonly tags: readonly KeyValue[];
  },
): Promise<RunDetail> {
  const { principal, experimentId } = input;
  const { projectId } = principal;
  const experiment = await assertActive(deps, { projectId, id: experimentId });
  const given = takeTags(input.tags);
  const name = chooseName(input.name, given);
  const id = randomUUID().replaceAll('-', '');
  const artifactUri = `${experiment.artifactLocation}/${id}/artifacts`;
  const startedMs = input.startedMs ?? Date.now();
  const userId = cutText(input.userId, TRACKER_LIMITS.userIdChars);
  const row = { projectId, id, experimentId, name, userId, startedMs, artifactUri };
  const run = await deps.postgres.transaction(async (sql) => {
    const nested = given.some((tag) => tag.key === PARENT_TAG);
    const made =
      principal.attempt === undefined
        ? { run: await insertRun(sql, row), adopted: false }
        : await createOrAdoptRun(sql, { run: row, step: principal.attempt, nested });
    // an adopted run keeps its name: it is the same run
    const nameTag = made.adopted ? [] : [{ key: RUN_NAME_TAG, value: name }];
    const entries = [
      ...given.filter((tag) => tag.key !== RUN_NAME_TAG),
      ...nameTag,
      ...stepTags(principal),
    ];
    await upsertTags(sql, { projectId, runId: made.run.id, entries });
    return made.run;
  });
  return getRun(deps, { projectId, runId: run.id });
}

/** Tags of a new run: MLflow takes keys here that it refuses later, so only lengths are checked. */
function takeTags(tags: readonly KeyValue[]): KeyValue[] {
  return tags.map(({ key, value }) => {
    checkLength('key', key, TRACKER_LIMITS.keyChars);
    return { key, value: cutText(value, TRACKER_LIMITS.tagValueChars) };
  });
}

function stepTags({ attempt }: Principal): KeyValue[] {
  if (attempt === undefined) return [];
  return [
    { key: 'anneal.pipelineRun', value: attempt.runId },
    { key: 'anneal.step', value: attempt.stepKey },
    { key: 'anneal.attempt', value: String(attempt.attempt) },
  ];
}

/** The name and the tag mlflow.runName are one thing; given both, they must agree. */
function chooseName(name: string | undefined, tags: readonly KeyValue[]): string {
  const tag = tags.findLast((entry) => entry.key === RUN_NAME_TAG)?.value ?? '';
  const argument = cutText(name ?? '', TRACKER_LIMITS.tagValueChars);
  if (tag !== '' && argument !== '' && argument !== tag) {
    throw new AppError(
      'INVALID_ARGUMENT',
      `Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='${argument}', mlflow.runName='${tag}').`,
    );
  }
  return argument || tag || randomRunName();
}

interface At {
  readonly projectId: string;
  readonly runId: string;
}

/** A run without what was logged to it, in any stage; NOT_FOUND otherwise. */
export async function findRun(deps: { readonly postgres: Sql }, at: At): Promise<Run> {
  const { projectId, runId: id } = at;
  return found(await selectRun(deps.postgres, { projectId, id }), 'run', id);
}

/** A run with its params, tags and newest metrics, in any stage; NOT_FOUND otherwise. */
export async function getRun(deps: Deps, at: At): Promise<RunDetail> {
  const run = await findRun(deps, at);
  const [detail] = await addDetails(deps.postgres, at.projectId, [run]);
  return detail ?? { run, params: [], tags: [], metrics: [] };
}

async function addDetails(sql: Sql, projectId: string, runs: readonly Run[]): Promise<RunDetail[]> {
  const find = { projectId, runIds: runs.map((run) => run.id) };
  const [params, tags, metrics] = await Promise.all([
    selectParams(sql, find).then(groupByRun),
    selectTags(sql, find).then(groupByRun),
    selectLatestMetrics(sql, find).then(groupByRun),
  ]);
  return runs.map((run) => ({
    run,
    params: params.get(run.id) ?? [],
    tags: tags.get(run.id) ?? [],
    metrics: metrics.get(run.id) ?? [],
  }));
}

function groupByRun<T extends { readonly runId: string }>(rows: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const group = groups.get(row.runId);
    if (group === undefined) groups.set(row.runId, [row]);
    else group.push(row);
  }
  return groups;
}

/** A page of runs of some experiments, newest first. */
export async function searchRuns(
  deps: Deps,
  input: {
    readonly projectId: string;
    readonly experimentIds: readonly number[];
    readonly stages: readonly LifecycleStage[];
    readonly maxResults: number | undefined;
    readonly pageToken: string | undefined;
  },
): Promise<{ runs: RunDetail[]; nextPageToken: string | undefined }> {
  const { projectId, experimentIds, stages } = input;
  const limit = checkMaxResults(input.maxResults, { most: SEARCH_MAX, unset: SEARCH_DEFAULT });
  const after = readPageToken(input.pageToken, Cursor);
  const find = { projectId, experimentIds, stages, after, limit: limit + 1 };
  const rows = await selectRuns(deps.postgres, find);
  const { page, nextPageToken } = toPage(rows, limit, ({ startedMs, id }) => ({ startedMs, id }));
  return { runs: await addDetails(deps.postgres, projectId, page), nextPageToken };
}

interface WriteAt {
  readonly principal: Principal;
  readonly runId: string;
}

/**
 * The run if this caller may write to it now: it is active, and an attempt's token belongs to the
 * run's own pipeline run and to the newest attempt of its step. PERMISSION_DENIED for the run of
 * somebody else. Status never matters: a FINISHED run still takes metrics.
 */
export async function assertWritableRun(
  deps: { readonly postgres: Sql },
  at: WriteAt,
): Promise<Run> {
  const { projectId } = at.principal;
  const run = await findRun(deps, { projectId, runId: at.runId });
  assertOwnRun(run, at.principal);
  if (run.lifecycleStage !== 'active') {
    const message = `The run ${at.runId} must be in the 'active' state. Current state is deleted.`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  await assertCurrent(deps.postgres, at.principal);
  return run;
}

/** Refuses an attempt's token for what its own pipeline run has not made; no query: the run says it. */
function assertOwnRun(run: Run, { attempt }: Principal): void {
  if (attempt === undefined || run.pipelineRunId === attempt.runId) return;
  const whose = `not of the pipeline run ${attempt.runId}, whose runs alone this step may write`;
  const advice = "Log to a run that a step of it has made, or use a person's token.";
  throw new AppError('PERMISSION_DENIED', `The run ${run.id} is ${whose}. ${advice}`);
}

/** Refuses an attempt's token once a newer attempt of its step has begun. */
async function assertCurrent(sql: Sql, { projectId, attempt }: Principal): Promise<void> {
  if (attempt === undefined) return;
  await assertNewestAttempt(sql, { projectId, pipelineRunId: attempt.runId, ...attempt });
}

/** Changes status, end or name of an active run. */
export async function changeRun(
  deps: Deps,
  input: WriteAt & {
    readonly status: RunStatus | undefined;
    readonly endedMs: number | undefined;
    readonly name: string | undefined;
  },
): Promise<Run> {
  const { projectId } = input.principal;
  await assertWritableRun(deps, input);
  const name = cutText(input.name ?? '', TRACKER_LIMITS.tagValueChars) || undefined;
  return deps.postgres.transaction(async (sql) => {
    const { status, endedMs } = input;
    const run = await updateRun(sql, { projectId, id: input.runId, status, endedMs, name });
    if (name !== undefined) {
      const entries = [{ key: RUN_NAME_TAG, value: name }];
      await upsertTags(sql, { projectId, runId: input.runId, entries });
    }
    return found(run, 'run', input.runId);
  });
}

/** Deletes or restores a run; doing so twice changes nothing. */
export async function moveRun(
  deps: Deps,
  input: WriteAt & { readonly stage: LifecycleStage },
): Promise<void> {
  const { projectId } = input.principal;
  assertOwnRun(await findRun(deps, { projectId, runId: input.runId }), input.principal);
  await assertCurrent(deps.postgres, input.principal);
  await setRunStage(deps.postgres, { projectId, id: input.runId, stage: input.stage });
}

/**
 * Sets tags inside a transaction; the tag mlflow.runName renames the run, unless it is empty. The
 * run comes first, as in `changeRun`: both lock the run before its tags.
 */
export async function writeTags(
  sql: Sql,
  at: At & { readonly tags: readonly KeyValue[] },
): Promise<void> {
  const { projectId, runId } = at;
  const tags = checkTags(at.tags);
  const name = tags.findLast((tag) => tag.key === RUN_NAME_TAG)?.value ?? '';
  if (name !== '') await updateRun(sql, { projectId, id: runId, name });
  const entries = tags.filter((tag) => tag.key !== RUN_NAME_TAG || tag.value !== '');
  await upsertTags(sql, { projectId, runId, entries });
}

/** Removes a tag of an active run; NOT_FOUND if there is none. */
export async function removeTag(
  deps: Deps,
  input: WriteAt & { readonly key: string },
): Promise<void> {
  const { projectId } = input.principal;
  await assertWritableRun(deps, input);
  if (await deleteTag(deps.postgres, { projectId, runId: input.runId, key: input.key })) return;
  throw new AppError('NOT_FOUND', `No tag with name: ${input.key} in run with id ${input.runId}`);
}
