import { AppError } from '../../errors/app-error';
import type { EndedRun } from '../../schemas/graph';
import type { StepStatus } from '../../schemas/pipeline-runs';
import type { Outputs, StepSpec } from '../../schemas/plan';
import type { Sql } from './client';

export interface StepKey {
  readonly projectId: string;
  readonly runId: string;
  readonly stepKey: string;
}
/** A node of a run's graph as it is stored: `spec` also holds the `item` of a foreach, or the `run`. */
export interface InsertStep {
  readonly key: string;
  readonly index: number;
  readonly spec: StepSpec;
  readonly item: Readonly<Record<string, unknown>> | undefined;
  /** How the run ended whose handler this is. */
  readonly run?: EndedRun;
}
/** What carrying out a step needs to know of it. */
export interface StoredStep {
  readonly spec: StepSpec;
  readonly item: Readonly<Record<string, unknown>> | undefined;
  readonly run?: EndedRun | undefined; // of handlers
  readonly status: StepStatus;
  readonly outputs: Outputs | null;
  /** Its run is paused: it does not begin now. */
  readonly isHeld: boolean;
}

const INSERT = `
INSERT INTO steps (project_id, run_id, key, index, spec, status)
SELECT $1, $2, s.key, s.index, s.spec, 'waiting'
FROM unnest($3::text[], $4::integer[], $5::jsonb[]) AS s (key, index, spec)
ON CONFLICT (run_id, key) DO NOTHING`;
const COUNT_OTHERS = `
SELECT count(*)::integer AS count FROM steps s
WHERE project_id = $1 AND run_id = $2
  AND NOT EXISTS (SELECT FROM unnest($3::text[]) AS k (key) WHERE k.key = s.key)`;
const FIND = `
SELECT s.spec, s.status, s.outputs, r.is_paused AS "isHeld"
FROM steps s JOIN pipeline_runs r ON r.id = s.run_id
WHERE s.project_id = $1 AND s.run_id = $2 AND s.key = $3`;
// locks the run's row as STARTED does: a pause that was written before is seen here, and one that is
// being written waits for this attempt's begin. What has begun goes on, however often it asks
const HELD = `
SELECT r.is_paused AND NOT EXISTS (
  SELECT FROM attempts a
  WHERE a.project_id = $1 AND a.run_id = $2 AND a.step_key = $3 AND a.attempt = $4
) AS held
FROM pipeline_runs r WHERE r.project_id = $1 AND r.id = $2 FOR NO KEY UPDATE`;
// a step that only passes the artifact on (builtin/best) has no tracked run
const TRACKED_RUN_OF = `
SELECT tracked_run_id FROM steps
WHERE project_id = $1 AND run_id = $2 AND tracked_run_id IS NOT NULL
  AND jsonb_path_exists(outputs, '$.*.artifact ? (@ == $id)', jsonb_build_object('id', $3::text))
ORDER BY index LIMIT 1`;
const HANDLERS = `
SELECT key, status FROM steps WHERE project_id = $1 AND run_id = $2 AND spec ? 'run' ORDER BY index`;
// the run's row is locked first, as storage/postgres/transitions.ts does, for the same reason
const STARTED = `
WITH run AS (
  SELECT id FROM pipeline_runs WHERE project_id = $1 AND id = $2 FOR NO KEY UPDATE
), started AS (
  UPDATE steps s SET status = 'running', reason = NULL, started_at = coalesce(s.started_at, now()),
    content_key = $8, content_parts = $9
  FROM run
  WHERE s.project_id = $1 AND s.run_id = run.id AND s.key = $3
    AND s.status IN ('waiting', 'running', 'retrying')
  RETURNING s.key
)
INSERT INTO transitions (project_id, run_id, step_key, attempt, state, reason, at)
SELECT $1, $2, key, $4, t.state, t.reason, t.at
FROM started, (VALUES ('ready', $6::text, $7::timestamptz), ('started', $5, now()))
  AS t (state, reason, at)
WHERE t.at IS NOT NULL
ORDER BY t.state
ON CONFLICT (run_id, step_key, attempt, state, reason) DO NOTHING`;
// its caller has locked the run's row, for the same reason
const END_OPEN = `
WITH ended AS (
  UPDATE steps SET status = 'cancelled', reason = $3, ended_at = now()
  WHERE project_id = $1 AND run_id = $2
    AND status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled')
  RETURNING key, index
)
INSERT INTO transitions (project_id, run_id, step_key, attempt, state, reason, at)
SELECT $1, $2, key, coalesce(a.attempt, 0), 'cancelled', $3, now()
FROM ended LEFT JOIN LATERAL (
  SELECT max(attempt) AS attempt FROM attempts WHERE run_id = $2 AND step_key = key
) a ON true
ORDER BY index, length(key), key
ON CONFLICT (run_id, step_key, attempt, state, reason) DO NOTHING`;

/** Stores the steps of a run as waiting; those that are there stay as they are. */
export async function insertSteps(
  sql: Sql,
  run: {
    readonly projectId: string;
    readonly runId: string;
    readonly steps: readonly InsertStep[];
  },
): Promise<void> {
  const specs = run.steps.map(({ spec, item, run: ended }) =>
    JSON.stringify({ ...spec, item, run: ended }),
  );
  const keys = run.steps.map((step) => step.key);
  const indexes = run.steps.map((step) => step.index);
  await sql.query(INSERT, [run.projectId, run.runId, keys, indexes, specs]);
}

/** How many steps a run has besides those with these keys. */
export async function countOtherSteps(
  sql: Sql,
  run: { readonly projectId: string; readonly runId: string; readonly keys: readonly string[] },
): Promise<number> {
  const values = [run.projectId, run.runId, run.keys];
  const [row] = await sql.query<{ count: number }>(COUNT_OTHERS, values);
  return row?.count ?? 0;
}

/** One step with its spec, or undefined. */
export async function findStep(sql: Sql, key: StepKey): Promise<StoredStep | undefined> {
  type Stored = Pick<StoredStep, 'status' | 'outputs' | 'isHeld'> & {
    readonly spec: StepSpec & Partial<Pick<InsertStep, 'item' | 'run'>>;
  };
  const [row] = await sql.query<Stored>(FIND, [key.projectId, key.runId, key.stepKey]);
  if (row === undefined) return undefined;
  const { item, run, ...spec } = row.spec;
  const { status, outputs, isHeld } = row;
  return { spec, item, run, status, outputs, isHeld };
}

/** RUN_PAUSED if this attempt would begin while its run is paused; it locks the run's row. */
export async function assertNotHeld(
  sql: Sql,
  { projectId, runId, stepKey, attempt }: StepKey & { readonly attempt: number },
): Promise<void> {
  const [row] = await sql.query<{ held: boolean }>(HELD, [projectId, runId, stepKey, attempt]);
  if (row?.held === true) throw new AppError('RUN_PAUSED', `The run '${runId}' is paused.`);
}

/** The handlers of a run, in their order; none as long as its steps have not ended. */
export function listHandlers(
  sql: Sql,
  run: { readonly projectId: string; readonly runId: string },
): Promise<{ readonly key: string; readonly status: StepStatus }[]> {
  return sql.query(HANDLERS, [run.projectId, run.runId]);
}

/** The tracked run of the step that made an artifact in this run, or undefined. */
export async function findTrackedRunOf(
  sql: Sql,
  made: { readonly projectId: string; readonly runId: string; readonly artifactId: string },
): Promise<string | undefined> {
  const values = [made.projectId, made.runId, made.artifactId];
  const [row] = await sql.query<{ tracked_run_id: string }>(TRACKED_RUN_OF, values);
  return row?.tracked_run_id;
}

/**
 * Says that an attempt of a step has begun, and where; nothing if the step has ended. Inside a
 * transaction it is the first statement that writes to the step: it locks the run's row.
 */
export async function markStepStarted(
  sql: Sql,
  started: StepKey & {
    readonly attempt: number;
    readonly reason: string;
    readonly ready: { readonly reason: string; readonly atMs: number } | undefined;
    /** What its result will depend on. */
    readonly content: { readonly key: string; readonly parts: Readonly<Record<string, string>> };
  },
): Promise<void> {
  const { projectId, runId, stepKey, attempt, reason, ready, content } = started;
  const readyAt = ready === undefined ? null : new Date(ready.atMs);
  const values = [projectId, runId, stepKey, attempt, reason, ready?.reason ?? null, readyAt];
  await sql.query(STARTED, [...values, content.key, JSON.stringify(content.parts)]);
}

/** Ends the steps of a run that nobody will end any more. */
export async function endOpenSteps(
  sql: Sql,
  end: { readonly projectId: string; readonly runId: string; readonly reason: string },
): Promise<void> {
  await sql.query(END_OPEN, [end.projectId, end.runId, end.reason]);
}

const TRACKED_RUN = `
SELECT tracked_run_id FROM steps WHERE project_id = $1 AND run_id = $2 AND key = $3`;

/** The tracked run that a step has made so far, or undefined. */
export async function findTrackedRun(sql: Sql, key: StepKey): Promise<string | undefined> {
  const values = [key.projectId, key.runId, key.stepKey];
  const [row] = await sql.query<{ tracked_run_id: string | null }>(TRACKED_RUN, values);
  return row?.tracked_run_id ?? undefined;
}
