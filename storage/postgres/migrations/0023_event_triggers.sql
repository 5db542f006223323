-- what deployed pipelines listen to: `digits` for a model, `churn/prepare/table` for a dataset
CREATE TABLE event_triggers (
  project_id text NOT NULL,
  pipeline text NOT NULL, -- the deployed one that is started
  kind text NOT NULL CHECK (kind IN ('model', 'dataset')),
  subject text NOT NULL,
  since timestamptz NOT NULL DEFAULT now(), -- what was before is not heard
  last_artifact text, -- the dataset that was heard last
  PRIMARY KEY (project_id, pipeline, kind, subject),
  FOREIGN KEY (project_id, pipeline) REFERENCES deployed_pipelines (project_id, name)
    ON DELETE CASCADE
);
CREATE INDEX event_triggers_by_subject ON event_triggers (project_id, kind, subject);
-- the last event that should have started a run and did not, since the pipeline was deployed
ALTER TABLE deployed_pipelines ADD COLUMN last_error text, ADD COLUMN last_error_at timestamptz;
