-- the pipelines that steps of a run have written, as they stand in its plan
CREATE TABLE plan_fragments (
  project_id text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  artifact_id text NOT NULL,
  digest text NOT NULL,
  plan jsonb NOT NULL,
  -- of what the run's workflow was told of it
  answer_bytes integer NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, step_key),
  FOREIGN KEY (run_id, step_key) REFERENCES steps (run_id, key)
);
