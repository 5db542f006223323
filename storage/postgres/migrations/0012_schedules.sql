-- what is to run when, as it was asked for; Temporal holds the clock
CREATE TABLE schedules (
  project_id text NOT NULL REFERENCES projects (id),
  name text NOT NULL,
  spec jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project_id, name)
);
