import type { Plan } from '../../schemas/plan';
import type { Sql } from './client';
import type { StepKey } from './steps';

/** A pipeline that a step has written, by the key of the step that runs it. */
export interface PlanFragment {
  readonly stepKey: string;
  readonly plan: Plan;
}

const FIND = `
SELECT step_key AS "stepKey", plan FROM plan_fragments
WHERE project_id = $1 AND run_id = $2 ORDER BY step_key`;
const SUM = `
SELECT coalesce(sum(answer_bytes), 0)::integer AS bytes FROM plan_fragments
WHERE project_id = $1 AND run_id = $2 AND step_key <> $3`;
// the first one stays: what it was read from does not change
const INSERT = `
INSERT INTO plan_fragments (project_id, run_id, step_key, artifact_id, digest, plan, answer_bytes)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (run_id, step_key) DO NOTHING`;

/** All that were written for a run. */
export async function findPlanFragments(
  sql: Sql,
  run: { readonly projectId: string; readonly runId: string },
): Promise<PlanFragment[]> {
  return sql.query<PlanFragment>(FIND, [run.projectId, run.runId]);
}

/** The sum of what the workflows of a run were told of those of other steps. */
export async function sumAnswerBytes(
  sql: Sql,
  { projectId, runId, stepKey }: StepKey,
): Promise<number> {
  const [row] = await sql.query<{ bytes: number }>(SUM, [projectId, runId, stepKey]);
  return row?.bytes ?? 0;
}

/** Stores what a step runs; nothing happens if it is there. */
export async function insertPlanFragment(
  sql: Sql,
  fragment: StepKey &
    Pick<PlanFragment, 'plan'> & {
      readonly artifactId: string; // of the file that it was read from
      readonly digest: string; // the id of its plan
      readonly answerBytes: number; // of what the run's workflow is told of it
    },
): Promise<void> {
  const { projectId, runId, stepKey, artifactId, digest, plan, answerBytes } = fragment;
  const values = [projectId, runId, stepKey, artifactId, digest, JSON.stringify(plan), answerBytes];
  await sql.query(INSERT, values);
}
