CREATE TABLE projects (
  id text PRIMARY KEY,
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO projects (id, name) VALUES ('default', 'Default');

CREATE TABLE tokens (
  project_id text NOT NULL REFERENCES projects (id),
  id text PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('user', 'node', 'attempt')),
  hash bytea NOT NULL UNIQUE,
  name text NOT NULL,
  permissions text[] NOT NULL,
  pipeline_run_id text,
  step_key text,
  attempt integer,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  revoked_at timestamptz
);

-- experiment tracking

CREATE TABLE experiments (
  project_id text NOT NULL REFERENCES projects (id),
  id bigint PRIMARY KEY,
  name text NOT NULL,
  artifact_location text NOT NULL,
  lifecycle_stage text NOT NULL DEFAULT 'active' CHECK (lifecycle_stage IN ('active', 'deleted')),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (project_id, name)
);
CREATE SEQUENCE experiment_ids AS bigint START 1;
INSERT INTO experiments (project_id, id, name, artifact_location)
VALUES ('default', 0, 'Default', 'mlflow-artifacts:/0');

CREATE TABLE experiment_tags (
  project_id text NOT NULL,
  experiment_id bigint NOT NULL REFERENCES experiments (id),
  key text NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (experiment_id, key)
);

CREATE TABLE runs (
  project_id text NOT NULL REFERENCES projects (id),
  id text PRIMARY KEY,
  experiment_id bigint NOT NULL REFERENCES experiments (id),
  name text NOT NULL,
  user_id text NOT NULL DEFAULT '',
  status text NOT NULL CHECK (status IN ('RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED')),
  started_ms bigint NOT NULL,
  ended_ms bigint,
  lifecycle_stage text NOT NULL DEFAULT 'active' CHECK (lifecycle_stage IN ('active', 'deleted')),
  artifact_uri text NOT NULL,
  pipeline_run_id text,
  step_key text,
  attempt integer,
  adoption_key text,
  UNIQUE (pipeline_run_id, step_key, adoption_key)
);
CREATE INDEX runs_by_experiment ON runs (project_id, experiment_id, started_ms DESC, id);

CREATE TABLE run_params (
  project_id text NOT NULL,
  run_id text NOT NULL REFERENCES runs (id),
  key text NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (run_id, key)
);
CREATE TABLE run_tags (
  project_id text NOT NULL,
  run_id text NOT NULL REFERENCES runs (id),
  key text NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (run_id, key)
);
-- the newest point of each series: greatest (step, timestamp_ms, value); NaN competes as 0
CREATE TABLE run_metrics_latest (
  project_id text NOT NULL,
  run_id text NOT NULL REFERENCES runs (id),
  key text NOT NULL,
  value double precision NOT NULL,
  is_nan boolean NOT NULL,
  step bigint NOT NULL,
  timestamp_ms bigint NOT NULL,
  PRIMARY KEY (run_id, key)
);

-- artifacts: bytes by digest, and the names that runs give them

CREATE TABLE objects (
  project_id text NOT NULL REFERENCES projects (id),
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  size_bytes bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project_id, digest)
);
CREATE TABLE artifact_files (
  project_id text NOT NULL,
  path text NOT NULL,
  digest text NOT NULL,
  size_bytes bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project_id, path),
  FOREIGN KEY (project_id, digest) REFERENCES objects (project_id, digest)
);
CREATE INDEX artifact_files_by_prefix ON artifact_files (project_id, path text_pattern_ops);
-- an immutable list of files: manifest is [{path, digest, sizeBytes}], id is the SHA-256 of its
-- canonical JSON
CREATE TABLE artifacts (
  project_id text NOT NULL REFERENCES projects (id),
  id text NOT NULL,
  kind text NOT NULL,
  manifest jsonb NOT NULL,
  size_bytes bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project_id, id)
);

-- pipelines

CREATE TABLE plans (
  project_id text NOT NULL REFERENCES projects (id),
  id text NOT NULL,
  plan jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project_id, id)
);
CREATE TABLE pipeline_runs (
  project_id text NOT NULL REFERENCES projects (id),
  id text PRIMARY KEY,
  plan_id text NOT NULL,
  pipeline text NOT NULL,
  params jsonb NOT NULL,
  code_digest text,
  run_key text,
  status text NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  reason text,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  ended_at timestamptz,
  UNIQUE (project_id, run_key),
  FOREIGN KEY (project_id, plan_id) REFERENCES plans (project_id, id)
);
CREATE INDEX pipeline_runs_newest ON pipeline_runs (project_id, created_at DESC, id);
CREATE TABLE steps (
  project_id text NOT NULL,
  run_id text NOT NULL REFERENCES pipeline_runs (id),
  key text NOT NULL,
  index integer NOT NULL,
  spec jsonb NOT NULL,
  status text NOT NULL CHECK (
    status IN ('waiting', 'running', 'retrying', 'succeeded', 'failed', 'skipped', 'cancelled')
  ),
  reason text,
  outputs jsonb,
  tracked_run_id text,
  started_at timestamptz,
  ended_at timestamptz,
  PRIMARY KEY (run_id, key)
);
CREATE TABLE attempts (
  project_id text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  attempt integer NOT NULL,
  node text NOT NULL,
  status text NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'lost')),
  failure_class text,
  reason text,
  exit_code integer,
  resumed_from text,
  started_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz,
  PRIMARY KEY (run_id, step_key, attempt),
  FOREIGN KEY (run_id, step_key) REFERENCES steps (run_id, key)
);
CREATE TABLE transitions (
  project_id text NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id text NOT NULL,
  step_key text NOT NULL,
  attempt integer NOT NULL,
  state text NOT NULL,
  reason text,
  at timestamptz NOT NULL DEFAULT now(),
  UNIQUE NULLS NOT DISTINCT (run_id, step_key, attempt, state, reason)
);
CREATE TABLE checkpoints (
  project_id text NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id text NOT NULL,
  step_key text NOT NULL,
  attempt integer NOT NULL,
  name text NOT NULL,
  artifact_id text NOT NULL,
  size_bytes bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (run_id, step_key, attempt, name),
  FOREIGN KEY (run_id, step_key) REFERENCES steps (run_id, key)
);
CREATE TABLE log_lines (
  project_id text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  attempt integer NOT NULL,
  seq integer NOT NULL,
  at timestamptz NOT NULL,
  stream text NOT NULL CHECK (stream IN ('stdout', 'stderr', 'anneal')),
  text text NOT NULL,
  PRIMARY KEY (run_id, step_key, attempt, seq)
);

-- registry

CREATE TABLE registered_models (
  project_id text NOT NULL REFERENCES projects (id),
  name text NOT NULL,
  description text NOT NULL DEFAULT '',
  next_version integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project_id, name)
);
CREATE TABLE registered_model_tags (
  project_id text NOT NULL,
  model text NOT NULL,
  key text NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (project_id, model, key),
  FOREIGN KEY (project_id, model) REFERENCES registered_models (project_id, name)
);
CREATE TABLE model_versions (
  project_id text NOT NULL,
  model text NOT NULL,
  version integer NOT NULL,
  source text NOT NULL,
  run_id text,
  artifact_id text,
  description text NOT NULL DEFAULT '',
  idempotency_key text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project_id, model, version),
  UNIQUE (project_id, model, idempotency_key),
  FOREIGN KEY (project_id, model) REFERENCES registered_models (project_id, name)
);
CREATE TABLE model_version_tags (
  project_id text NOT NULL,
  model text NOT NULL,
  version integer NOT NULL,
  key text NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (project_id, model, version, key),
  FOREIGN KEY (project_id, model, version) REFERENCES model_versions (project_id, model, version)
);
-- version is NULL once an alias was removed: the row and its revision stay, so that
-- compare-and-swap works across a removal
CREATE TABLE model_aliases (
  project_id text NOT NULL,
  model text NOT NULL,
  alias text NOT NULL,
  version integer,
  revision bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project_id, model, alias),
  FOREIGN KEY (project_id, model) REFERENCES registered_models (project_id, name)
);
CREATE TABLE model_alias_history (
  project_id text NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text NOT NULL,
  alias text NOT NULL,
  revision bigint NOT NULL,
  old_version integer,
  new_version integer,
  actor text NOT NULL,
  reason text NOT NULL DEFAULT '',
  idempotency_key text,
  at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (project_id, model, alias, revision),
  UNIQUE (project_id, model, alias, idempotency_key)
);
CREATE TABLE audit (
  project_id text NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  actor text NOT NULL,
  action text NOT NULL,
  subject text NOT NULL,
  detail jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE outbox (
  project_id text NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic text NOT NULL,
  body jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
