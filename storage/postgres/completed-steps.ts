import type { Outputs } from '../../schemas/plan';
import type { Sql } from './client';

// all at once, whatever their number: tiny steps end by the hundred
const COMPLETE = `
WITH run AS (
  SELECT id FROM pipeline_runs WHERE project_id = $1 AND id = $2 FOR NO KEY UPDATE
), given AS (
  SELECT * FROM unnest($3::text[], $4::jsonb[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[])
    WITH ORDINALITY AS g (key, outputs, ready_at, started_at, ended_at, n)
), completed AS (
  UPDATE steps s SET outputs = coalesce(s.outputs, g.outputs), status = 'succeeded', reason = NULL,
    started_at = coalesce(s.started_at, g.started_at), ended_at = g.ended_at
  FROM run, given g
  WHERE s.project_id = $1 AND s.run_id = run.id AND s.key = g.key
    AND s.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled')
  RETURNING g.*
), tried AS (
  INSERT INTO attempts (project_id, run_id, step_key, attempt, node, status, started_at, ended_at)
  SELECT $1, $2, key, 1, $8, 'succeeded', started_at, ended_at FROM completed
  ON CONFLICT (run_id, step_key, attempt) DO NOTHING
)
INSERT INTO transitions (project_id, run_id, step_key, attempt, state, reason, at)
SELECT $1, $2, c.key, 1, t.state, NULL, t.at FROM completed c, LATERAL (
  VALUES (1, 'ready', c.ready_at), (2, 'started', c.started_at), (3, 'succeeded', c.ended_at)
) AS t (i, state, at)
ORDER BY c.n, t.i
ON CONFLICT (run_id, step_key, attempt, state, reason) DO NOTHING`;

/** A step that was carried out in one go. */
export interface CompletedStep {
  readonly stepKey: string;
  readonly outputs: Outputs;
  readonly readyAtMs: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

/** Commits steps of one run together with their attempts and transitions; the first commit wins. */
export async function completeSteps(
  sql: Sql,
  done: {
    readonly projectId: string;
    readonly runId: string;
    readonly node: string;
    readonly steps: readonly CompletedStep[];
  },
): Promise<void> {
  const { projectId, runId, node, steps } = done;
  await sql.query(COMPLETE, [
    projectId,
    runId,
    steps.map((step) => step.stepKey),
    steps.map((step) => JSON.stringify(step.outputs)),
    steps.map((step) => new Date(step.readyAtMs)),
    steps.map((step) => new Date(step.startedAtMs)),
    steps.map((step) => new Date(step.endedAtMs)),
    node,
  ]);
}
