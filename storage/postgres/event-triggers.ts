import type { Sql } from './client';
import type { DeploymentKey } from './deployments';
import { INSERT_OUTBOX } from './outbox';
import type { StepKey } from './steps';

/** What a deployed pipeline listens to. */
export interface EventSubject {
  readonly kind: 'model' | 'dataset';
  readonly subject: string;
}

// what stays keeps since when it is heard, and which dataset was heard last
const REPLACE = `
WITH wanted AS (
  SELECT * FROM unnest($3::text[], $4::text[]) AS w (kind, subject)
), removed AS (
  DELETE FROM event_triggers WHERE project_id = $1 AND pipeline = $2
    AND (kind, subject) NOT IN (SELECT kind, subject FROM wanted)
)
INSERT INTO event_triggers (project_id, pipeline, kind, subject)
SELECT DISTINCT $1, $2, kind, subject FROM wanted
ON CONFLICT (project_id, pipeline, kind, subject) DO NOTHING`;
// whoever deploys locks the same row first, so the two cannot wait for each other
const LISTENERS = `
SELECT p.name FROM event_triggers t
JOIN deployed_pipelines p ON p.project_id = t.project_id AND p.name = t.pipeline
WHERE t.project_id = $1 AND t.kind = $2 AND t.subject = $3 AND t.since <= $4
ORDER BY p.name
FOR UPDATE OF p`;
const HEAR = `
UPDATE event_triggers SET last_artifact = $4
WHERE project_id = $1 AND pipeline = $2 AND kind = 'dataset' AND subject = $3
  AND last_artifact IS DISTINCT FROM $4
RETURNING pipeline`;
const ANNOUNCE = `
${INSERT_OUTBOX}
SELECT DISTINCT s.project_id, 'dataset.committed', jsonb_build_object('pipeline', r.pipeline,
  'runId', s.run_id, 'step', s.key, 'output', o.key, 'artifact', o.value ->> 'artifact')
FROM steps s
JOIN pipeline_runs r ON r.id = s.run_id
CROSS JOIN LATERAL jsonb_each(s.outputs) o
JOIN event_triggers t ON t.project_id = s.project_id AND t.kind = 'dataset'
  AND t.subject = r.pipeline || '/' || s.key || '/' || o.key
WHERE s.project_id = $1 AND s.run_id = $2 AND s.key = $3 AND o.value ->> 'kind' = 'dataset'`;

/** Makes a deployed pipeline listen to these things and to nothing else. */
export async function replaceEventTriggers(
  sql: Sql,
  { projectId, name, subjects }: DeploymentKey & { readonly subjects: readonly EventSubject[] },
): Promise<void> {
  const kinds = subjects.map(({ kind }) => kind);
  const names = subjects.map(({ subject }) => subject);
  await sql.query(REPLACE, [projectId, name, kinds, names]);
}

/** The deployed pipelines that listened to this at that time, by name; each is locked. */
export async function listListeners(
  sql: Sql,
  event: EventSubject & { readonly projectId: string; readonly at: Date },
): Promise<string[]> {
  const values = [event.projectId, event.kind, event.subject, event.at];
  return (await sql.query<{ name: string }>(LISTENERS, values)).map(({ name }) => name);
}

/** True if this dataset is another one than the pipeline heard of last. */
export async function hearDataset(
  sql: Sql,
  heard: DeploymentKey & { readonly subject: string; readonly artifactId: string },
): Promise<boolean> {
  const values = [heard.projectId, heard.name, heard.subject, heard.artifactId];
  return (await sql.query(HEAR, values)).length > 0;
}

/** Announces the datasets among a step's committed outputs that somebody listens to. */
export async function announceDatasets(sql: Sql, step: StepKey): Promise<void> {
  await sql.query(ANNOUNCE, [step.projectId, step.runId, step.stepKey]);
}
