-- the edges of lineage: which artifacts a step was given, and which it made. Not of built-in steps, which
-- only hand on what others made, nor of steps that took a result that was there.
CREATE TABLE step_artifacts (
  project_id text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  role text NOT NULL CHECK (role IN ('input', 'output')),
  name text NOT NULL,
  artifact_id text NOT NULL,
  PRIMARY KEY (run_id, step_key, role, name, artifact_id),
  FOREIGN KEY (run_id, step_key) REFERENCES steps (run_id, key)
);
CREATE INDEX step_artifacts_by_artifact ON step_artifacts (project_id, artifact_id, role);
INSERT INTO step_artifacts
SELECT s.project_id, s.run_id, s.key, 'output', o.key, o.value ->> 'artifact'
FROM steps s CROSS JOIN LATERAL jsonb_each(s.outputs) AS o
WHERE s.outputs IS NOT NULL AND s.reused_run_id IS NULL AND o.value ? 'artifact'
  AND coalesce(s.spec ->> 'uses', '') NOT LIKE 'builtin/%';
-- nothing can use it: jsonb_path_ops does not hold what stands behind a name that may be any
DROP INDEX steps_by_outputs;
