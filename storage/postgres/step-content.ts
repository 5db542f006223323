import type { StepStatus } from '../../schemas/pipeline-runs';
import type { Outputs } from '../../schemas/plan';
import type { Sql } from './client';
import type { StepKey } from './steps';

type Parts = Readonly<Record<string, string>>;
interface Content {
  readonly key: string;
  readonly parts: Parts;
}
/** A step that succeeded, whose result another step may take. */
export interface ReusableStep {
  readonly runId: string;
  readonly stepKey: string;
  readonly outputs: Outputs;
  readonly trackedRunId: string | null;
}
/** What is known of the content of a step; null if it was never worked out. */
export interface StepContent {
  readonly stepKey: string;
  readonly status: StepStatus;
  readonly key: string | null;
  readonly parts: Parts | null;
  readonly outputs: Outputs | null; // only of one that succeeded
}

const NOTE = `
UPDATE steps SET content_key = $4, content_parts = $5, reuse_note = $6
WHERE project_id = $1 AND run_id = $2 AND key = $3 AND outputs IS NULL`;
// the transition before it made the row 'succeeded', unless the step was cancelled meanwhile
const REUSE = `
UPDATE steps SET content_key = $4, content_parts = $5, reuse_note = $6, outputs = $7,
  tracked_run_id = coalesce(tracked_run_id, $8), reused_run_id = $9, reused_step_key = $10
WHERE project_id = $1 AND run_id = $2 AND key = $3 AND status = 'succeeded' AND outputs IS NULL`;
const FIND_IN_RUN = `
SELECT run_id, key, outputs, tracked_run_id FROM steps
WHERE project_id = $1 AND run_id = $2 AND content_key = $3
  AND status = 'succeeded' AND outputs IS NOT NULL
ORDER BY (key = $4) DESC, index, key LIMIT 1`;
const LIST_CONTENTS = `
SELECT key, status, content_key, content_parts, outputs FROM steps
WHERE project_id = $1 AND run_id = $2 AND ($3::text IS NULL OR key = $3)
ORDER BY index, length(key), key`;
const FIND_RERUN = `
SELECT $3 = ANY(rerun_steps) AS is_rerun FROM pipeline_runs WHERE project_id = $1 AND id = $2`;

interface Row {
  readonly run_id: string;
  readonly key: string;
  readonly status: StepStatus;
  readonly outputs: Outputs;
  readonly tracked_run_id: string | null;
  readonly content_key: string | null;
  readonly content_parts: Parts | null;
}

/** Keeps why a step is run though its result might have been there already. */
export async function noteContent(
  sql: Sql,
  noted: StepKey & { readonly content: Content; readonly note: string },
): Promise<void> {
  await sql.query(NOTE, valuesOf(noted));
}

/** Gives a step the result of another one; nothing if it has a result of its own. */
export async function reuseOutputs(
  sql: Sql,
  reused: StepKey & {
    readonly content: Content;
    readonly note: string;
    readonly from: ReusableStep;
  },
): Promise<void> {
  const { outputs, trackedRunId, runId, stepKey } = reused.from;
  const values = [JSON.stringify(outputs), trackedRunId, runId, stepKey];
  await sql.query(REUSE, [...valuesOf(reused), ...values]);
}

function valuesOf(
  noted: StepKey & { readonly content: Content; readonly note: string },
): unknown[] {
  const { projectId, runId, stepKey, content, note } = noted;
  return [projectId, runId, stepKey, content.key, JSON.stringify(content.parts), note];
}

/** A step of a run that succeeded with this content, the one of the same key if there are several. */
export async function findReusableInRun(
  sql: Sql,
  find: StepKey & { readonly contentKey: string },
): Promise<ReusableStep | undefined> {
  const { projectId, runId, contentKey, stepKey } = find;
  const [row] = await sql.query<Row>(FIND_IN_RUN, [projectId, runId, contentKey, stepKey]);
  return row === undefined ? undefined : toReusable(row);
}

/** What a step depended on, as far as it is known; undefined if there is no such step. */
export async function findContent(sql: Sql, key: StepKey): Promise<StepContent | undefined> {
  const [row] = await sql.query<Row>(LIST_CONTENTS, [key.projectId, key.runId, key.stepKey]);
  return row === undefined ? undefined : toContent(row);
}

/** The same of all steps of a run, in the order of its graph. */
export async function listContents(
  sql: Sql,
  run: { readonly projectId: string; readonly runId: string },
): Promise<StepContent[]> {
  const rows = await sql.query<Row>(LIST_CONTENTS, [run.projectId, run.runId, null]);
  return rows.map(toContent);
}

/** True if whoever resumed the run wants this step of the plan to run in any case. */
export async function isRerun(
  sql: Sql,
  find: { readonly projectId: string; readonly runId: string; readonly step: string },
): Promise<boolean> {
  const values = [find.projectId, find.runId, find.step];
  const [row] = await sql.query<{ readonly is_rerun: boolean }>(FIND_RERUN, values);
  return row?.is_rerun ?? false;
}

function toReusable(row: Row): ReusableStep {
  const { run_id: runId, key: stepKey, outputs, tracked_run_id: trackedRunId } = row;
  return { runId, stepKey, outputs, trackedRunId };
}

function toContent(row: Row): StepContent {
  const { key: stepKey, status, content_key: key, content_parts: parts } = row;
  return { stepKey, status, key, parts, outputs: status === 'succeeded' ? row.outputs : null };
}
