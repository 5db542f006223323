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

// a reason that was noted before as why the step waits holds no more
const NOTE = `
UPDATE steps SET content_key = $4, content_parts = $5, reuse_note = $6,
  reason = CASE WHEN reason = reuse_note AND reason <> $6 THEN NULL ELSE reason END
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
// the age of a result is that of the work, so what was itself reused does not count
const FIND_NEWEST = `
SELECT run_id, key, outputs, tracked_run_id FROM steps
WHERE project_id = $1 AND content_key = $2 AND status = 'succeeded' AND outputs IS NOT NULL
  AND reused_run_id IS NULL
  AND ($3::float8 IS NULL OR ended_at > now() - make_interval(secs => $3))
ORDER BY ended_at DESC LIMIT 1`;
// among the newest few: the same content, then the same item, then the newest
const FIND_NEAREST = `
SELECT *, extract(epoch FROM now() - ended_at)::float8 AS age FROM (
  SELECT s.run_id, s.key, s.status, s.content_key, s.content_parts, s.outputs, s.ended_at
  FROM steps s JOIN pipeline_runs r ON r.id = s.run_id
  WHERE s.project_id = $1 AND r.pipeline = $2 AND s.step = $3
    AND s.content_key IS NOT NULL AND s.status = 'succeeded' AND s.reused_run_id IS NULL
  ORDER BY s.ended_at DESC LIMIT 100
) AS newest
ORDER BY (content_key = $5) DESC, (key = $4) DESC, ended_at DESC LIMIT 1`;
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

/** The newest step of the project that did the work for this content, at most so many seconds ago. */
export async function findNewestReusable(
  sql: Sql,
  find: {
    readonly projectId: string;
    readonly contentKey: string;
    readonly ttlSeconds: number | null; // null: however old
  },
): Promise<ReusableStep | undefined> {
  const { projectId, contentKey, ttlSeconds } = find;
  const [row] = await sql.query<Row>(FIND_NEWEST, [projectId, contentKey, ttlSeconds]);
  return row === undefined ? undefined : toReusable(row);
}

/** The step of the same pipeline and name that is most like this one; it did its work and succeeded. */
export async function findNearest(
  sql: Sql,
  find: {
    readonly projectId: string;
    readonly pipeline: string;
    readonly step: string;
    readonly stepKey: string;
    readonly contentKey: string;
  },
): Promise<(StepContent & { readonly runId: string; readonly ageSeconds: number }) | undefined> {
  const { projectId, pipeline, step, stepKey, contentKey } = find;
  const values = [projectId, pipeline, step, stepKey, contentKey];
  const [row] = await sql.query<Row & { readonly age: number }>(FIND_NEAREST, values);
  return row === undefined
    ? undefined
    : { ...toContent(row), runId: row.run_id, ageSeconds: row.age };
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
