-- what steps write for people while they run; the bytes are objects
CREATE TABLE cards (
  project_id text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  attempt integer NOT NULL,
  name text NOT NULL,
  digest text NOT NULL,
  size_bytes bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, step_key, attempt, name),
  FOREIGN KEY (run_id, step_key) REFERENCES steps (run_id, key),
  FOREIGN KEY (project_id, digest) REFERENCES objects (project_id, digest)
);
