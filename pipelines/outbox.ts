import { setTimeout as sleep } from 'node:timers/promises';
import { renderTriggerParams } from '../dag/trigger-params';
import { AppError, isAppError } from '../errors/app-error';
import { CHAIN_MAX } from '../schemas/run-triggers';
import type { Sql } from '../storage/postgres/client';
import { failDeployment, type DeploymentKey } from '../storage/postgres/deployments';
import { hearDataset, listListeners } from '../storage/postgres/event-triggers';
import { deleteEvent, takeEvent, type TakenEvent } from '../storage/postgres/outbox';
import { findPipelineRun, findPipelineRunByRunKey } from '../storage/postgres/pipeline-runs';
import { selectRun } from '../storage/postgres/runs';
import { currentDeployment, startDeployed } from './deployed-runs';
import { EVENT_TOPICS, readEvent, triggerFor, type RegistryEvent } from './events';
import type { PipelineRunStart } from './pipeline-runs';

type Log = (line: Readonly<Record<string, unknown>>) => void;
export interface OutboxDeps extends PipelineRunStart {
  readonly log: Log;
}
interface Heard {
  readonly taken: TakenEvent;
  readonly event: RegistryEvent;
  /** The deployed pipelines whose runs led to the event. */
  readonly chain: readonly string[];
}

/**
 * Delivers the oldest event that waits: starts a run of each deployed pipeline that listens, each exactly
 * once, and removes the event. False if none waits. Why a run cannot be started is kept with its pipeline
 * and holds up nothing; if Temporal or Postgres is away, it throws, and the event waits.
 */
export async function deliverNext(deps: OutboxDeps): Promise<boolean> {
  return deps.postgres.transaction(async (sql) => {
    const taken = await takeEvent(sql, EVENT_TOPICS);
    if (taken === undefined) return false;
    const event = readEvent(taken);
    if (event !== undefined) await deliver(deps, sql, { taken, event });
    await deleteEvent(sql, taken.id);
    return true;
  });
}

async function deliver(
  deps: OutboxDeps,
  sql: Sql,
  { taken, event }: Omit<Heard, 'chain'>,
): Promise<void> {
  const { projectId, at } = taken;
  const names = await listListeners(sql, { ...event, projectId, at });
  if (names.length === 0) return;
  const runId = await findCause(sql, projectId, event);
  const cause =
    runId === undefined ? undefined : await findPipelineRun(sql, { projectId, id: runId });
  const { chain = [], deployment } = cause?.trigger ?? {};
  const led = deployment === undefined ? chain : [...chain, deployment.name];
  const heard = { taken, chain: led, event: { ...event, runId: cause?.id } };
  for (const name of names) await startListener(deps, sql, { ...heard, name });
}

/** The pipeline run that made a model version or a dataset, or that set an alias. */
async function findCause(
  sql: Sql,
  projectId: string,
  { runId, trackedRunId }: RegistryEvent,
): Promise<string | undefined> {
  if (runId !== undefined || trackedRunId === undefined) return runId;
  const tracked = await selectRun(sql, { projectId, id: trackedRunId });
  return tracked?.pipelineRunId ?? undefined;
}

async function startListener(
  deps: OutboxDeps,
  sql: Sql,
  { taken, event, chain, name }: Heard & { readonly name: string },
): Promise<void> {
  const key = { projectId: taken.projectId, name };
  const { kind, says: subject } = event;
  try {
    const runKey = `on/${name}/${taken.id}`;
    const before = await findPipelineRunByRunKey(deps.postgres, { ...key, runKey });
    const { triggers } = await currentDeployment(deps, key);
    const from = triggerFor(triggers, event);
    if (from === undefined || !(await isNews(sql, key, event))) return;
    if (before !== undefined) return; // whoever started it ended before the event was removed
    assertNoCircle(name, chain);
    const params = renderTriggerParams(from, { ...event.fields, run: event.runId ?? null });
    const trigger = { kind, subject, chain: [...chain] };
    const start = { params, trigger, runKey, priority: undefined };
    const { id } = await startDeployed(deps, key, start);
    deps.log({ level: 'info', message: `${kind} ${subject} started run ${id} of ${name}` });
  } catch (error) {
    if (isAppError(error) && error.row.retryable && error.code !== 'INTERNAL') throw error;
    const why = isAppError(error) || error instanceof Error ? error.message : String(error);
    const message = `${kind} ${subject} started no run: ${why}`;
    await failDeployment(sql, { ...key, message });
    deps.log({ level: 'warn', message: `${name}: ${message}` });
  }
}

/** Every version and alias is news; a dataset is if it is not the one that was heard last. */
async function isNews(
  sql: Sql,
  key: DeploymentKey,
  { subject, artifactId }: RegistryEvent,
): Promise<boolean> {
  return artifactId === undefined || hearDataset(sql, { ...key, subject, artifactId });
}

/** A pipeline that led to what it listens to would go on starting itself for ever. */
function assertNoCircle(name: string, chain: readonly string[]): void {
  if (!chain.includes(name) && chain.length < CHAIN_MAX) return;
  const circle = [...chain, name].join(' → ');
  const why = chain.includes(name) ? 'it would start itself' : 'too many pipelines led to it';
  throw new AppError('INVALID_STATE', `${why}: ${circle}.`);
}

/** Delivers again and again until it is stopped; a round that fails is made good by the next. */
export function startOutbox(
  deps: OutboxDeps,
  { everyMs }: { readonly everyMs: number },
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const { signal } = stopping;
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      const isMore = await deliverNext(deps).catch((error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        deps.log({ level: 'warn', message: `events wait: ${why}` });
        return false;
      });
      if (!isMore) await sleep(everyMs, undefined, { signal }).catch(() => undefined);
    }
  };
  const looping = loop();
  return {
    stop: () => {
      stopping.abort();
      return looping;
    },
  };
}
