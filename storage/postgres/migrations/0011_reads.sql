-- how many steps run on a pool is asked for each step that waits for it
CREATE INDEX attempts_running ON attempts (run_id, step_key) WHERE status = 'running';
CREATE INDEX audit_by_subject ON audit (project_id, subject, id DESC);
-- which step has made an artifact
CREATE INDEX steps_by_outputs ON steps USING gin (outputs jsonb_path_ops);
CREATE INDEX model_versions_by_artifact ON model_versions (project_id, artifact_id);
