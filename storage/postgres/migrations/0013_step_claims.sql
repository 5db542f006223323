-- which step does the work for a content key, so that others wait for its result
CREATE TABLE step_claims (
  project_id text NOT NULL REFERENCES projects (id),
  content_key text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (project_id, content_key)
);
CREATE INDEX step_claims_by_step ON step_claims (run_id, step_key);
-- results by content, and the newest ones of a step for telling what differs from them
CREATE INDEX steps_by_content ON steps (project_id, content_key, ended_at DESC)
  WHERE content_key IS NOT NULL AND status = 'succeeded' AND reused_run_id IS NULL;
CREATE INDEX steps_by_name_and_end ON steps (project_id, step, ended_at DESC)
  WHERE content_key IS NOT NULL AND status = 'succeeded' AND reused_run_id IS NULL;
