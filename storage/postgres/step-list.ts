import type { Progress, Step, StepCache, StepStatus } from '../../schemas/pipeline-runs';
import type { Outputs } from '../../schemas/plan';
import type { Sql } from './client';

interface RunKey {
  readonly projectId: string;
  readonly runId: string;
}
/** What of a step its place in the graph and the counts need: small, for there may be ten thousand. */
export interface BriefStep {
  readonly key: string;
  readonly status: StepStatus;
  readonly startedAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
}
/** A step with its newest attempt. */
export interface ListedStep {
  readonly step: Step;
  readonly attempt: ListedAttempt | undefined;
}
export interface ListedAttempt {
  readonly attempt: number;
  readonly node: string;
  readonly failureClass: string | undefined;
  readonly endedAtMs: number | undefined;
  /** When it last gave a sign: output, progress or a checkpoint; of running steps only. */
  readonly heardAtMs: number | undefined;
}
/** Which steps: all of them unless it is said. */
export interface StepPage {
  readonly status?: StepStatus | undefined;
  /** The key of the step before the page. */
  readonly after?: string | undefined;
  readonly key?: string | undefined;
  readonly limit?: number | undefined;
}

const BRIEF = `
SELECT key, status, started_at, ended_at FROM steps
WHERE project_id = $1 AND run_id = $2
ORDER BY index, length(key), key`;
// each look at logs and checkpoints reads one row behind an index, and only for what runs
const LIST = `
SELECT s.key, s.status, s.reason, s.outputs, s.tracked_run_id, s.started_at, s.ended_at,
  s.content_key, s.reused_run_id, s.reused_step_key, s.reuse_note,
  a.progress, a.attempt, a.node, a.failure_class, a.ended_at AS attempt_ended_at,
  greatest(a.started_at, (a.progress->>'at')::timestamptz, l.at, c.at) AS heard_at
FROM steps s
LEFT JOIN LATERAL (
  SELECT x.* FROM attempts x WHERE x.run_id = s.run_id AND x.step_key = s.key
  ORDER BY x.attempt DESC LIMIT 1
) a ON true
LEFT JOIN LATERAL (
  SELECT x.at FROM log_lines x
  WHERE s.status = 'running' AND x.run_id = s.run_id AND x.step_key = s.key AND x.attempt = a.attempt
  ORDER BY x.seq DESC LIMIT 1
) l ON true
LEFT JOIN LATERAL (
  SELECT max(x.created_at) AS at FROM checkpoints x
  WHERE s.status = 'running' AND x.run_id = s.run_id AND x.step_key = s.key AND x.attempt = a.attempt
) c ON true
WHERE s.project_id = $1 AND s.run_id = $2
  AND ($3::text IS NULL OR s.status = $3)
  AND ($4::text IS NULL OR (s.index, length(s.key), s.key) > (
    SELECT p.index, length(p.key), p.key FROM steps p WHERE p.run_id = $2 AND p.key = $4
  ))
  AND ($5::text IS NULL OR s.key = $5)
ORDER BY s.index, length(s.key), s.key
LIMIT $6`;
const COUNT = `
SELECT status, count(*)::integer AS count FROM steps WHERE project_id = $1 AND run_id = $2
GROUP BY status`;
const RUNNING_BY_POOL = `
SELECT s.spec->>'pool' AS pool, count(*)::integer AS count
FROM attempts a JOIN steps s ON s.run_id = a.run_id AND s.key = a.step_key
WHERE a.status = 'running' AND s.spec->>'pool' = ANY($1)
GROUP BY 1`;

/** Every step of a run in the order of its graph, with little of each. */
export async function listBriefSteps(sql: Sql, run: RunKey): Promise<BriefStep[]> {
  type Row = Pick<BriefStep, 'key' | 'status'> & {
    readonly started_at: Date | null;
    readonly ended_at: Date | null;
  };
  const rows = await sql.query<Row>(BRIEF, [run.projectId, run.runId]);
  return rows.map(({ key, status, started_at: started, ended_at: ended }) => ({
    key,
    status,
    startedAtMs: started?.getTime(),
    endedAtMs: ended?.getTime(),
  }));
}

interface Row {
  readonly key: string;
  readonly status: StepStatus;
  readonly reason: string | null;
  readonly outputs: Outputs | null;
  readonly tracked_run_id: string | null;
  readonly started_at: Date | null;
  readonly ended_at: Date | null;
  readonly content_key: string | null;
  readonly reused_run_id: string | null;
  readonly reused_step_key: string | null;
  readonly reuse_note: string | null;
  readonly progress: Progress | null;
  readonly attempt: number | null;
  readonly node: string | null;
  readonly failure_class: string | null;
  readonly attempt_ended_at: Date | null;
  readonly heard_at: Date | null;
}

/** Steps of a run in the order of its graph. */
export async function listSteps(sql: Sql, list: RunKey & StepPage): Promise<ListedStep[]> {
  const { projectId, runId, status, after, key, limit } = list;
  const page = [status ?? null, after ?? null, key ?? null, limit ?? null];
  const rows = await sql.query<Row>(LIST, [projectId, runId, ...page]);
  return rows.map((row) => ({
    step: {
      key: row.key,
      status: row.status,
      reason: row.reason,
      outputs: row.outputs,
      trackedRunId: row.tracked_run_id,
      progress: row.progress,
      cache: toCache(row),
      startedAt: row.started_at?.toISOString() ?? null,
      endedAt: row.ended_at?.toISOString() ?? null,
    },
    attempt: toAttempt(row),
  }));
}

function toAttempt(row: Row): ListedAttempt | undefined {
  if (row.attempt === null) return undefined;
  return {
    attempt: row.attempt,
    node: row.node ?? '',
    failureClass: row.failure_class ?? undefined,
    endedAtMs: row.attempt_ended_at?.getTime(),
    heardAtMs: row.heard_at?.getTime(),
  };
}

function toCache(row: Row): StepCache | null {
  const { content_key: key, reuse_note: explanation, reused_run_id: runId } = row;
  if (key === null || explanation === null) return null;
  const from = runId === null ? null : { runId, stepKey: row.reused_step_key ?? row.key };
  return { hit: from !== null, key, from, explanation };
}

/** How many steps of a run show which status. */
export async function countSteps(
  sql: Sql,
  run: RunKey,
): Promise<Partial<Record<StepStatus, number>>> {
  type Row = { readonly status: StepStatus; readonly count: number };
  const rows = await sql.query<Row>(COUNT, [run.projectId, run.runId]);
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
}

/** How many attempts run now on workers of these pools, of all runs. */
export async function countRunningByPool(
  sql: Sql,
  pools: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  type Row = { readonly pool: string; readonly count: number };
  const rows = await sql.query<Row>(RUNNING_BY_POOL, [pools]);
  return new Map(rows.map(({ pool, count }) => [pool, count]));
}
