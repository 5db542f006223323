-- what a step's result depends on, so that a later run can take the result instead of the work
ALTER TABLE steps
  ADD COLUMN content_key text,
  ADD COLUMN content_parts jsonb,
  ADD COLUMN reused_run_id text,
  ADD COLUMN reused_step_key text,
  ADD COLUMN reuse_note text;
ALTER TABLE pipeline_runs
  ADD COLUMN resumed_from text,
  ADD COLUMN rerun_steps text[] NOT NULL DEFAULT '{}';
