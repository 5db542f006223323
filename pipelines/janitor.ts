import { setTimeout as sleep } from 'node:timers/promises';
import { tryLock } from '../storage/postgres/locks';
import { listOpenPipelineRuns } from '../storage/postgres/pipeline-runs';
import { finishPipelineRun, type PipelineRunDeps } from './pipeline-runs';

/** How a workflow ended that wrote no end itself. */
export interface WorkflowEnd {
  /** True if somebody wanted it: the run is then cancelled, else it has failed. */
  readonly isOnPurpose: boolean;
  /** The rest of "the run ended because …". */
  readonly reason: string;
}
export interface JanitorDeps extends PipelineRunDeps {
  /** How the workflows of these runs ended; open ones are left out. Implemented by api/starter.ts. */
  readonly findEndedWorkflows: (
    runIds: readonly string[],
  ) => Promise<ReadonlyMap<string, WorkflowEnd>>;
}
export interface EndedRun {
  readonly projectId: string;
  readonly runId: string;
  readonly reason: string;
}

/** A younger run may have its row and not yet its workflow, or the other way round. */
const AGE_SECONDS_MIN = 60;
/** Of one look at the table, and of one round: what is left has its turn in the next round. */
const PAGE = 100;
const PAGES_MAX = 10;
const LOCK = 'janitor';

/**
 * Ends the runs that are open here though their workflow is not: terminated, timed out or gone. Looks
 * at no more than 1,000 runs; `next` is where the next round goes on. Another process that is at it
 * already makes it do nothing; repeating it changes nothing.
 */
export async function sweepRuns(
  deps: JanitorDeps,
  { after, ageSeconds = AGE_SECONDS_MIN }: { readonly after: string; readonly ageSeconds?: number },
): Promise<{ readonly ended: readonly EndedRun[]; readonly next: string }> {
  const ended: EndedRun[] = [];
  let next = after;
  await tryLock(deps.postgres, LOCK, async () => {
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const list = { after: next, ageSeconds, limit: PAGE };
      const open = await listOpenPipelineRuns(deps.postgres, list);
      ended.push(...(await endRuns(deps, open)));
      next = open.length < PAGE ? '' : (open.at(-1)?.id ?? '');
      if (next === '') return;
    }
  });
  return { ended, next };
}

async function endRuns(
  deps: JanitorDeps,
  open: readonly { readonly projectId: string; readonly id: string }[],
): Promise<EndedRun[]> {
  const ends = await deps.findEndedWorkflows(open.map(({ id }) => id));
  const ended: EndedRun[] = [];
  for (const { projectId, id: runId } of open) {
    const end = ends.get(runId);
    if (end === undefined) continue;
    const { isOnPurpose, reason } = end;
    const status = isOnPurpose ? 'cancelled' : 'failed';
    await finishPipelineRun(deps, { projectId, runId, status, reason });
    ended.push({ projectId, runId, reason });
  }
  return ended;
}

/** Sweeps again and again until it is stopped; a round that fails is made good by the next. */
export function startJanitor(
  deps: JanitorDeps,
  options: {
    readonly everyMs: number;
    readonly log: (line: Readonly<Record<string, unknown>>) => void;
  },
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const { signal } = stopping;
  const loop = async (): Promise<void> => {
    let after = '';
    while (!signal.aborted) {
      try {
        const { ended, next } = await sweepRuns(deps, { after });
        after = next;
        for (const run of ended) {
          options.log({ level: 'info', message: `ended run ${run.runId}: ${run.reason}` });
        }
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        options.log({ level: 'warn', message: `runs without a workflow are not ended: ${why}` });
      }
      await sleep(options.everyMs, undefined, { signal }).catch(() => undefined);
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
