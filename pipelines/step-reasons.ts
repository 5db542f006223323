import type { PlacedGraph } from '../dag/placed-graph';
import { found } from '../errors/app-error';
import type { PipelineRun, Step } from '../schemas/pipeline-runs';
import { listAudit } from '../storage/postgres/audit';
import {
  listSteps as readSteps,
  type ListedStep,
  type StepPage,
} from '../storage/postgres/step-list';
import { getPipelineRun } from './pipeline-runs';
import { findPresence, type PresenceDeps } from './pools';
import { placeRun } from './run-graphs';
import { createItemsOf, whyWaiting, type WaitFacts } from './why-waiting';

/** Of what happened to a run, newest first: a pause is among the last controls. */
const AUDIT_MAX = 100;
/** A control worker with nothing to do asks again within a minute. */
const CONTROL_SEEN_WITHIN_MS = 75_000;

/** Steps of a run in the order of its graph, unfinished ones with a reason, or NOT_FOUND. */
export async function listSteps(
  deps: PresenceDeps,
  list: { readonly projectId: string; readonly runId: string } & StepPage,
): Promise<Step[]> {
  const { projectId, runId } = list;
  const run = await getPipelineRun(deps, { projectId, id: runId });
  const listed = await readSteps(deps.postgres, list);
  const isOpen = listed.some(({ step }) => step.endedAt === null);
  if (run.endedAt !== null || !isOpen) return listed.map(({ step }) => step);
  const facts = await gather(deps, { projectId, run, listed });
  return listed.map((item) => ({ ...item.step, reason: whyWaiting(item, facts) }));
}

/** One step, or NOT_FOUND. */
export async function getStep(
  deps: PresenceDeps,
  key: { readonly projectId: string; readonly runId: string; readonly stepKey: string },
): Promise<Step> {
  const [step] = await listSteps(deps, { ...key, key: key.stepKey });
  return found(step, 'step', key.stepKey);
}

async function gather(
  deps: PresenceDeps,
  of: {
    readonly projectId: string;
    readonly run: PipelineRun;
    readonly listed: readonly ListedStep[];
  },
): Promise<WaitFacts> {
  const { projectId, run, listed } = of;
  const placed = await placeRun(deps, projectId, run);
  const [presence, paused, isControlGone] = await Promise.all([
    findPresence(deps, poolsOf(listed, placed)),
    run.isPaused ? findPause(deps, { projectId, runId: run.id }) : undefined,
    findIsControlGone(deps),
  ]);
  const byPool = new Map(presence.map((one) => [one.pool, one]));
  const itemsOf = createItemsOf(placed);
  const nowMs = Date.now();
  return { run, placed, itemsOf, paused, presence: byPool, isControlGone, nowMs };
}

function poolsOf(listed: readonly ListedStep[], placed: PlacedGraph): string[] {
  const waiting = listed.filter(({ step }) => ['waiting', 'retrying'].includes(step.status));
  const settings = waiting.map(({ step }) => placed.nodes.get(step.key)?.node.settings ?? 0);
  return [...new Set(settings.flatMap((i) => placed.settings[i]?.pool ?? []))];
}

async function findPause(
  deps: PresenceDeps,
  { projectId, runId }: { readonly projectId: string; readonly runId: string },
): Promise<WaitFacts['paused']> {
  const subject = `pipeline-run/${runId}`;
  const audit = await listAudit(deps.postgres, { projectId, subject, limit: AUDIT_MAX });
  const pause = audit.find(({ action }) => action === 'pipeline-run.pause');
  if (pause === undefined) return undefined;
  const { actor, at, detail } = pause;
  const { reason } = detail;
  return { actor, at, reason: typeof reason === 'string' ? reason : '' };
}

async function findIsControlGone({ starter }: PresenceDeps): Promise<boolean> {
  try {
    const seenMs = (await starter?.lastPoll(undefined)) ?? (starter === undefined ? Infinity : 0);
    return Date.now() - seenMs > CONTROL_SEEN_WITHIN_MS;
  } catch {
    return false; // not known
  }
}
