import type { StepStatus } from '../../schemas/pipeline-runs';
import type { Sql } from './client';
import type { StepKey } from './steps';

/** The step that does, or did, the work for a content key. */
export interface ClaimHolder {
  readonly runId: string;
  readonly stepKey: string;
  readonly status: StepStatus | null; // null: the step is gone
}
/** Whose the work is; `before` is who had it and did not finish it. */
export type Claim =
  | { readonly isOurs: true; readonly before: ClaimHolder | undefined }
  | { readonly isOurs: false; readonly holder: ClaimHolder };

// one step at a time decides about a key; each statement after it sees what the one before has done
const LOCK = `
SELECT pg_advisory_xact_lock(hashtextextended('claim/' || $1::text || '/' || $2::text, 0))`;
// a claim counts while its step and its run are under way, and never longer than its lease
const FIND = `
SELECT c.run_id AS "runId", c.step_key AS "stepKey", s.status,
  coalesce(c.expires_at > now() AND r.ended_at IS NULL
    AND s.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled'), false) AS "isLive"
FROM step_claims c
LEFT JOIN steps s ON s.run_id = c.run_id AND s.key = c.step_key
LEFT JOIN pipeline_runs r ON r.id = c.run_id
WHERE c.project_id = $1 AND c.content_key = $2`;
const TAKE = `
INSERT INTO step_claims (project_id, run_id, step_key, content_key, expires_at)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))
ON CONFLICT (project_id, content_key) DO UPDATE SET
  run_id = EXCLUDED.run_id, step_key = EXCLUDED.step_key, expires_at = EXCLUDED.expires_at`;
const RELEASE = `
DELETE FROM step_claims
WHERE project_id = $1 AND run_id = $2 AND ($3::text IS NULL OR step_key = $3)`;

/**
 * Claims the work for a content key, for `seconds` at most, unless a step that is under way has it.
 * Inside a transaction: until its end nobody else decides about this key. Idempotent.
 */
export async function claimWork(
  sql: Sql,
  claim: StepKey & { readonly contentKey: string; readonly seconds: number },
): Promise<Claim> {
  const { projectId, runId, stepKey, contentKey, seconds } = claim;
  await sql.query(LOCK, [projectId, contentKey]);
  type Row = ClaimHolder & { readonly isLive: boolean };
  const [row] = await sql.query<Row>(FIND, [projectId, contentKey]);
  const isOther = row !== undefined && (row.runId !== runId || row.stepKey !== stepKey);
  if (isOther && row.isLive) return { isOurs: false, holder: row };
  await sql.query(TAKE, [projectId, runId, stepKey, contentKey, seconds]);
  const isUnfinished = isOther && row.status !== 'succeeded';
  return { isOurs: true, before: isUnfinished ? row : undefined };
}

/** Gives up the claims of a step, or of all steps of a run. */
export async function releaseWork(
  sql: Sql,
  of: Omit<StepKey, 'stepKey'> & { readonly stepKey: string | null },
): Promise<void> {
  await sql.query(RELEASE, [of.projectId, of.runId, of.stepKey]);
}
