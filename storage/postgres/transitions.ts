import type { StepStatus, Transition } from '../../schemas/pipeline-runs';
import type { Sql } from './client';

/** One change of a step's state, as the workflow decided it. */
export interface RecordedTransition {
  readonly stepKey: string;
  readonly attempt: number; // 0: before the first
  readonly state: string;
  readonly status: StepStatus; // what the step shows from then on
  readonly reason: string | undefined;
  readonly failureClass: string | undefined;
  /** True if the attempt ended because its worker went away, so that nobody else can say so. */
  readonly isLost: boolean;
  readonly atMs: number;
}
export interface RecordTransitions {
  readonly projectId: string;
  readonly runId: string;
  readonly transitions: readonly RecordedTransition[];
}

// one writer per run at a time: ids rise in the order of commits, so a follower who asks for ids
// behind the last one he saw misses none; it also makes the checks of UPDATE_STEPS see all before
const LOCK = 'SELECT id FROM pipeline_runs WHERE project_id = $1 AND id = $2 FOR NO KEY UPDATE';
const INSERT = `
INSERT INTO transitions (project_id, run_id, step_key, attempt, state, reason, at)
SELECT $1, $2, t.step_key, t.attempt, t.state, t.reason, t.at
FROM unnest($3::text[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[])
  WITH ORDINALITY AS t (step_key, attempt, state, reason, at, n)
ORDER BY t.n
ON CONFLICT (run_id, step_key, attempt, state, reason) DO NOTHING`;
// what has ended stays, unless somebody has it run again; a late "waiting" does not hide that the attempt has begun
const UPDATE_STEPS = `
UPDATE steps s SET
  status = t.status,
  reason = t.reason,
  started_at = CASE WHEN t.status = 'running' THEN coalesce(s.started_at, t.at) ELSE s.started_at END,
  ended_at = CASE WHEN t.status IN ('succeeded', 'failed', 'skipped', 'cancelled') THEN t.at END
FROM unnest($3::text[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[], $8::text[])
  AS t (key, attempt, status, reason, at, state)
WHERE s.project_id = $1 AND s.run_id = $2 AND s.key = t.key
  AND (
    s.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled')
    OR t.state = 'reopened' AND NOT EXISTS (
      SELECT FROM transitions x
      WHERE x.run_id = s.run_id AND x.step_key = s.key AND x.attempt > t.attempt
    )
  )
  AND NOT (t.state = 'ready' AND EXISTS (
    SELECT FROM transitions x
    WHERE x.run_id = s.run_id AND x.step_key = s.key AND x.attempt = t.attempt AND x.state = 'started'
  ))`;
// for attempts whose worker could not tell the end itself; one that was told stays as it is
const END_ATTEMPTS = `
UPDATE attempts a SET
  status = t.status, failure_class = t.failure_class, reason = t.reason, ended_at = t.at
FROM unnest($3::text[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
  AS t (step_key, attempt, status, failure_class, reason, at)
WHERE a.project_id = $1 AND a.run_id = $2 AND a.step_key = t.step_key AND a.attempt = t.attempt
  AND a.status = 'running'`;
const LIST = `
SELECT id, step_key, attempt, state, reason, at FROM transitions
WHERE project_id = $1 AND run_id = $2 AND id > $3
ORDER BY id
LIMIT $4`;

/** Writes a batch: transitions, what each step shows, ends of attempts. Repeating it changes nothing. */
export async function recordTransitions(sql: Sql, batch: RecordTransitions): Promise<void> {
  const run = [batch.projectId, batch.runId];
  const all = batch.transitions;
  await sql.query(LOCK, run);
  await sql.query(INSERT, [
    ...run,
    all.map((t) => t.stepKey),
    all.map((t) => t.attempt),
    all.map((t) => t.state),
    all.map((t) => t.reason ?? null),
    all.map((t) => new Date(t.atMs)),
  ]);
  // a batch may hold several transitions of a step: the last one is what the step shows
  const last = [...new Map(all.map((t) => [t.stepKey, t])).values()];
  await sql.query(UPDATE_STEPS, [
    ...run,
    last.map((t) => t.stepKey),
    last.map((t) => t.attempt),
    last.map((t) => t.status),
    last.map((t) => t.reason ?? null),
    last.map((t) => new Date(t.atMs)),
    last.map((t) => t.state),
  ]);
  const ended = all.filter((t) => t.failureClass !== undefined || t.status === 'cancelled');
  if (ended.length === 0) return;
  await sql.query(END_ATTEMPTS, [
    ...run,
    ended.map((t) => t.stepKey),
    ended.map((t) => t.attempt),
    ended.map((t) => (t.isLost ? 'lost' : 'failed')),
    ended.map((t) => t.failureClass ?? null),
    ended.map((t) => t.reason ?? null),
    ended.map((t) => new Date(t.atMs)),
  ]);
}

/** Transitions of a run with an id greater than `after`, oldest first. */
export async function listTransitions(
  sql: Sql,
  list: {
    readonly projectId: string;
    readonly runId: string;
    readonly after: number;
    readonly limit: number;
  },
): Promise<Transition[]> {
  type Row = Omit<Transition, 'stepKey' | 'at'> & { readonly step_key: string; readonly at: Date };
  const rows = await sql.query<Row>(LIST, [list.projectId, list.runId, list.after, list.limit]);
  return rows.map((row) => ({
    id: row.id,
    stepKey: row.step_key,
    attempt: row.attempt,
    state: row.state,
    reason: row.reason,
    at: row.at.toISOString(),
  }));
}
