import { countRunningByPool } from '../storage/postgres/step-list';
import type { PipelineRunDeps } from './pipeline-runs';

/** Who works for a pool, as far as it can be known. */
export interface PoolPresence {
  readonly pool: string;
  /** When a worker last asked for a step; null: in none of the last five minutes. */
  readonly lastSeenAt: string | null;
  /** A worker whose places are all taken asks for nothing: this many steps are under way. */
  readonly runningSteps: number;
}
/** Knows which workers ask for work; implemented by api/starter.ts. */
export interface WorkerWatch {
  /** When a worker last asked for work of a pool, or, without one, of workflows; in ms, or never. */
  lastPoll(pool: string | undefined): Promise<number | undefined>;
}
export interface PresenceDeps extends PipelineRunDeps {
  readonly starter?: WorkerWatch;
}

/** The presence of each pool's workers; none are told of if Temporal does not answer. */
export async function findPresence(
  deps: PresenceDeps,
  pools: readonly string[],
): Promise<PoolPresence[]> {
  const { starter } = deps;
  if (starter === undefined || pools.length === 0) return [];
  try {
    const running = await countRunningByPool(deps.postgres, pools);
    const lastSeen = await Promise.all(pools.map((pool) => starter.lastPoll(pool)));
    return pools.map((pool, i) => ({
      pool,
      lastSeenAt: toTime(lastSeen[i]),
      runningSteps: running.get(pool) ?? 0,
    }));
  } catch {
    return []; // who asks wants to know about a run, and the status says what is broken
  }
}

function toTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
