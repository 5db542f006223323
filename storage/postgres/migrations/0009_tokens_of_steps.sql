-- every begin and end of an attempt looks for the tokens of its step
CREATE INDEX tokens_of_steps ON tokens (pipeline_run_id, step_key) WHERE revoked_at IS NULL;
