-- what started a run, if it was not somebody with a plan or a file
ALTER TABLE pipeline_runs ADD COLUMN trigger jsonb;
CREATE INDEX pipeline_runs_of_deployment
  ON pipeline_runs (project_id, (trigger -> 'deployment' ->> 'name'), created_at DESC)
  WHERE trigger -> 'deployment' IS NOT NULL;
-- every version that ever was: runs name them
CREATE TABLE deployments (
  project_id text NOT NULL REFERENCES projects (id),
  name text NOT NULL,
  version integer NOT NULL,
  plan_id text NOT NULL,
  pipeline text NOT NULL,
  params jsonb NOT NULL,
  code_digest text,
  git jsonb,
  triggers jsonb NOT NULL,
  deployed_by text NOT NULL,
  deployed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project_id, name, version),
  FOREIGN KEY (project_id, plan_id) REFERENCES plans (project_id, id)
);
-- which version holds now; no row: the pipeline was deleted
CREATE TABLE deployed_pipelines (
  project_id text NOT NULL,
  name text NOT NULL,
  version integer NOT NULL,
  PRIMARY KEY (project_id, name),
  FOREIGN KEY (project_id, name, version) REFERENCES deployments (project_id, name, version)
);
