CREATE TABLE artifact_files (
  project_id text NOT NULL,
  path text NOT NULL,
  digest text NOT NULL,
  size_bytes bigint NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT artifact_files_pkey PRIMARY KEY (project_id, path),
  CONSTRAINT artifact_files_project_id_digest_fkey FOREIGN KEY (project_id, digest) REFERENCES objects(project_id, digest)
);
CREATE INDEX artifact_files_by_prefix ON public.artifact_files USING btree (project_id, path text_pattern_ops);

CREATE TABLE artifacts (
  project_id text NOT NULL,
  id text NOT NULL,
  kind text NOT NULL,
  manifest jsonb NOT NULL,
  size_bytes bigint NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT artifacts_pkey PRIMARY KEY (project_id, id),
  CONSTRAINT artifacts_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id)
);

CREATE TABLE attempts (
  project_id text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  attempt integer NOT NULL,
  node text NOT NULL,
  status text NOT NULL,
  failure_class text,
  reason text,
  exit_code integer,
  resumed_from text,
  started_at timestamp with time zone NOT NULL DEFAULT now(),
  ended_at timestamp with time zone,
  progress jsonb,
  environment jsonb,
  CONSTRAINT attempts_pkey PRIMARY KEY (run_id, step_key, attempt),
  CONSTRAINT attempts_run_id_step_key_fkey FOREIGN KEY (run_id, step_key) REFERENCES steps(run_id, key),
  CONSTRAINT attempts_status_check CHECK ((status = ANY (ARRAY['running'::text, 'succeeded'::text, 'failed'::text, 'lost'::text])))
);
CREATE INDEX attempts_running ON public.attempts USING btree (run_id, step_key) WHERE (status = 'running'::text);

CREATE TABLE audit (
  project_id text NOT NULL,
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  actor text NOT NULL,
  action text NOT NULL,
  subject text NOT NULL,
  detail jsonb NOT NULL,
  at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT audit_pkey PRIMARY KEY (id)
);
CREATE INDEX audit_by_subject ON public.audit USING btree (project_id, subject, id DESC);

CREATE TABLE cards (
  project_id text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  attempt integer NOT NULL,
  name text NOT NULL,
  digest text NOT NULL,
  size_bytes bigint NOT NULL,
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT cards_pkey PRIMARY KEY (run_id, step_key, attempt, name),
  CONSTRAINT cards_project_id_digest_fkey FOREIGN KEY (project_id, digest) REFERENCES objects(project_id, digest),
  CONSTRAINT cards_run_id_step_key_fkey FOREIGN KEY (run_id, step_key) REFERENCES steps(run_id, key)
);

CREATE TABLE checkpoints (
  project_id text NOT NULL,
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  run_id text NOT NULL,
  step_key text NOT NULL,
  attempt integer NOT NULL,
  name text NOT NULL,
  artifact_id text NOT NULL,
  size_bytes bigint NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT checkpoints_pkey PRIMARY KEY (id),
  CONSTRAINT checkpoints_run_id_step_key_attempt_name_key UNIQUE (run_id, step_key, attempt, name),
  CONSTRAINT checkpoints_run_id_step_key_fkey FOREIGN KEY (run_id, step_key) REFERENCES steps(run_id, key)
);

CREATE TABLE code_files (
  project_id text NOT NULL,
  code_digest text NOT NULL,
  files jsonb NOT NULL,
  CONSTRAINT code_files_pkey PRIMARY KEY (project_id, code_digest),
  CONSTRAINT code_files_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id)
);

CREATE TABLE deployed_pipelines (
  project_id text NOT NULL,
  name text NOT NULL,
  version integer NOT NULL,
  last_error text,
  last_error_at timestamp with time zone,
  CONSTRAINT deployed_pipelines_pkey PRIMARY KEY (project_id, name),
  CONSTRAINT deployed_pipelines_project_id_name_version_fkey FOREIGN KEY (project_id, name, version) REFERENCES deployments(project_id, name, version)
);

CREATE TABLE deployments (
  project_id text NOT NULL,
  name text NOT NULL,
  version integer NOT NULL,
  plan_id text NOT NULL,
  pipeline text NOT NULL,
  params jsonb NOT NULL,
  code_digest text,
  git jsonb,
  triggers jsonb NOT NULL,
  deployed_by text NOT NULL,
  deployed_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT deployments_pkey PRIMARY KEY (project_id, name, version),
  CONSTRAINT deployments_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id),
  CONSTRAINT deployments_project_id_plan_id_fkey FOREIGN KEY (project_id, plan_id) REFERENCES plans(project_id, id)
);

CREATE TABLE event_triggers (
  project_id text NOT NULL,
  pipeline text NOT NULL,
  kind text NOT NULL,
  subject text NOT NULL,
  since timestamp with time zone NOT NULL DEFAULT now(),
  last_artifact text,
  CONSTRAINT event_triggers_kind_check CHECK ((kind = ANY (ARRAY['model'::text, 'dataset'::text]))),
  CONSTRAINT event_triggers_pkey PRIMARY KEY (project_id, pipeline, kind, subject),
  CONSTRAINT event_triggers_project_id_pipeline_fkey FOREIGN KEY (project_id, pipeline) REFERENCES deployed_pipelines(project_id, name) ON DELETE CASCADE
);
CREATE INDEX event_triggers_by_subject ON public.event_triggers USING btree (project_id, kind, subject);

CREATE TABLE experiment_tags (
  project_id text NOT NULL,
  experiment_id bigint NOT NULL,
  key text NOT NULL,
  value text NOT NULL,
  CONSTRAINT experiment_tags_experiment_id_fkey FOREIGN KEY (experiment_id) REFERENCES experiments(id),
  CONSTRAINT experiment_tags_pkey PRIMARY KEY (experiment_id, key)
);

CREATE TABLE experiments (
  project_id text NOT NULL,
  id bigint NOT NULL,
  name text NOT NULL,
  artifact_location text NOT NULL,
  lifecycle_stage text NOT NULL DEFAULT 'active'::text,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT experiments_lifecycle_stage_check CHECK ((lifecycle_stage = ANY (ARRAY['active'::text, 'deleted'::text]))),
  CONSTRAINT experiments_pkey PRIMARY KEY (id),
  CONSTRAINT experiments_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id),
  CONSTRAINT experiments_project_id_name_key UNIQUE (project_id, name)
);

CREATE TABLE log_lines (
  project_id text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  attempt integer NOT NULL,
  seq integer NOT NULL,
  at timestamp with time zone NOT NULL,
  stream text NOT NULL,
  text text NOT NULL,
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  CONSTRAINT log_lines_pkey PRIMARY KEY (run_id, step_key, attempt, seq),
  CONSTRAINT log_lines_stream_check CHECK ((stream = ANY (ARRAY['stdout'::text, 'stderr'::text, 'anneal'::text])))
);
CREATE INDEX log_lines_by_arrival ON public.log_lines USING btree (run_id, id);

CREATE TABLE model_alias_history (
  project_id text NOT NULL,
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  model text NOT NULL,
  alias text NOT NULL,
  revision bigint NOT NULL,
  old_version integer,
  new_version integer,
  actor text NOT NULL,
  reason text NOT NULL DEFAULT ''::text,
  idempotency_key text,
  at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT model_alias_history_pkey PRIMARY KEY (id),
  CONSTRAINT model_alias_history_project_id_model_alias_idempotency_key_key UNIQUE (project_id, model, alias, idempotency_key),
  CONSTRAINT model_alias_history_project_id_model_alias_revision_key UNIQUE (project_id, model, alias, revision)
);

CREATE TABLE model_aliases (
  project_id text NOT NULL,
  model text NOT NULL,
  alias text NOT NULL,
  version integer,
  revision bigint NOT NULL,
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT model_aliases_pkey PRIMARY KEY (project_id, model, alias),
  CONSTRAINT model_aliases_project_id_model_fkey FOREIGN KEY (project_id, model) REFERENCES registered_models(project_id, name)
);

CREATE TABLE model_version_tags (
  project_id text NOT NULL,
  model text NOT NULL,
  version integer NOT NULL,
  key text NOT NULL,
  value text NOT NULL,
  CONSTRAINT model_version_tags_pkey PRIMARY KEY (project_id, model, version, key),
  CONSTRAINT model_version_tags_project_id_model_version_fkey FOREIGN KEY (project_id, model, version) REFERENCES model_versions(project_id, model, version)
);

CREATE TABLE model_versions (
  project_id text NOT NULL,
  model text NOT NULL,
  version integer NOT NULL,
  source text NOT NULL,
  run_id text,
  artifact_id text,
  description text NOT NULL DEFAULT ''::text,
  idempotency_key text,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT model_versions_pkey PRIMARY KEY (project_id, model, version),
  CONSTRAINT model_versions_project_id_model_fkey FOREIGN KEY (project_id, model) REFERENCES registered_models(project_id, name),
  CONSTRAINT model_versions_project_id_model_idempotency_key_key UNIQUE (project_id, model, idempotency_key)
);
CREATE INDEX model_versions_by_artifact ON public.model_versions USING btree (project_id, artifact_id);

CREATE TABLE objects (
  project_id text NOT NULL,
  digest text NOT NULL,
  size_bytes bigint NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT objects_digest_check CHECK ((digest ~ '^[0-9a-f]{64}$'::text)),
  CONSTRAINT objects_pkey PRIMARY KEY (project_id, digest),
  CONSTRAINT objects_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id)
);

CREATE TABLE outbox (
  project_id text NOT NULL,
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  topic text NOT NULL,
  body jsonb NOT NULL,
  at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT outbox_pkey PRIMARY KEY (id)
);

CREATE TABLE pipeline_runs (
  project_id text NOT NULL,
  id text NOT NULL,
  plan_id text NOT NULL,
  pipeline text NOT NULL,
  params jsonb NOT NULL,
  code_digest text,
  run_key text,
  status text NOT NULL,
  reason text,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  started_at timestamp with time zone,
  ended_at timestamp with time zone,
  is_paused boolean NOT NULL DEFAULT false,
  priority smallint NOT NULL DEFAULT 3,
  resumed_from text,
  rerun_steps text[] NOT NULL DEFAULT '{}'::text[],
  git jsonb,
  steered_at timestamp with time zone,
  trigger jsonb,
  deadline_at timestamp with time zone,
  CONSTRAINT pipeline_runs_pkey PRIMARY KEY (id),
  CONSTRAINT pipeline_runs_priority_check CHECK (((priority >= 1) AND (priority <= 5))),
  CONSTRAINT pipeline_runs_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id),
  CONSTRAINT pipeline_runs_project_id_plan_id_fkey FOREIGN KEY (project_id, plan_id) REFERENCES plans(project_id, id),
  CONSTRAINT pipeline_runs_project_id_run_key_key UNIQUE (project_id, run_key),
  CONSTRAINT pipeline_runs_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'cancelled'::text])))
);
CREATE INDEX pipeline_runs_newest ON public.pipeline_runs USING btree (project_id, created_at DESC, id);
CREATE INDEX pipeline_runs_of_deployment ON public.pipeline_runs USING btree (project_id, (((trigger -> 'deployment'::text) ->> 'name'::text)), created_at DESC) WHERE ((trigger -> 'deployment'::text) IS NOT NULL);
CREATE INDEX pipeline_runs_open ON public.pipeline_runs USING btree (id) WHERE (ended_at IS NULL);

CREATE TABLE plan_fragments (
  project_id text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  artifact_id text NOT NULL,
  digest text NOT NULL,
  plan jsonb NOT NULL,
  answer_bytes integer NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT plan_fragments_pkey PRIMARY KEY (run_id, step_key),
  CONSTRAINT plan_fragments_run_id_step_key_fkey FOREIGN KEY (run_id, step_key) REFERENCES steps(run_id, key)
);

CREATE TABLE plans (
  project_id text NOT NULL,
  id text NOT NULL,
  plan jsonb NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT plans_pkey PRIMARY KEY (project_id, id),
  CONSTRAINT plans_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id)
);

CREATE TABLE projects (
  id text NOT NULL,
  name text NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT projects_pkey PRIMARY KEY (id)
);

CREATE TABLE registered_model_tags (
  project_id text NOT NULL,
  model text NOT NULL,
  key text NOT NULL,
  value text NOT NULL,
  CONSTRAINT registered_model_tags_pkey PRIMARY KEY (project_id, model, key),
  CONSTRAINT registered_model_tags_project_id_model_fkey FOREIGN KEY (project_id, model) REFERENCES registered_models(project_id, name)
);

CREATE TABLE registered_models (
  project_id text NOT NULL,
  name text NOT NULL,
  description text NOT NULL DEFAULT ''::text,
  next_version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT registered_models_pkey PRIMARY KEY (project_id, name),
  CONSTRAINT registered_models_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id)
);

CREATE TABLE run_metrics_latest (
  project_id text NOT NULL,
  run_id text NOT NULL,
  key text NOT NULL,
  value double precision NOT NULL,
  is_nan boolean NOT NULL,
  step bigint NOT NULL,
  timestamp_ms bigint NOT NULL,
  CONSTRAINT run_metrics_latest_pkey PRIMARY KEY (run_id, key),
  CONSTRAINT run_metrics_latest_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id)
);

CREATE TABLE run_params (
  project_id text NOT NULL,
  run_id text NOT NULL,
  key text NOT NULL,
  value text NOT NULL,
  CONSTRAINT run_params_pkey PRIMARY KEY (run_id, key),
  CONSTRAINT run_params_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id)
);

CREATE TABLE run_tags (
  project_id text NOT NULL,
  run_id text NOT NULL,
  key text NOT NULL,
  value text NOT NULL,
  CONSTRAINT run_tags_pkey PRIMARY KEY (run_id, key),
  CONSTRAINT run_tags_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id)
);

CREATE TABLE runs (
  project_id text NOT NULL,
  id text NOT NULL,
  experiment_id bigint NOT NULL,
  name text NOT NULL,
  user_id text NOT NULL DEFAULT ''::text,
  status text NOT NULL,
  started_ms bigint NOT NULL,
  ended_ms bigint,
  lifecycle_stage text NOT NULL DEFAULT 'active'::text,
  artifact_uri text NOT NULL,
  pipeline_run_id text,
  step_key text,
  attempt integer,
  adoption_key text,
  CONSTRAINT runs_experiment_id_fkey FOREIGN KEY (experiment_id) REFERENCES experiments(id),
  CONSTRAINT runs_lifecycle_stage_check CHECK ((lifecycle_stage = ANY (ARRAY['active'::text, 'deleted'::text]))),
  CONSTRAINT runs_pipeline_run_id_step_key_adoption_key_key UNIQUE (pipeline_run_id, step_key, adoption_key),
  CONSTRAINT runs_pkey PRIMARY KEY (id),
  CONSTRAINT runs_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id),
  CONSTRAINT runs_status_check CHECK ((status = ANY (ARRAY['RUNNING'::text, 'SCHEDULED'::text, 'FINISHED'::text, 'FAILED'::text, 'KILLED'::text])))
);
CREATE INDEX runs_by_experiment ON public.runs USING btree (project_id, experiment_id, started_ms DESC, id);

CREATE TABLE schedules (
  project_id text NOT NULL,
  name text NOT NULL,
  spec jsonb NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT schedules_pkey PRIMARY KEY (project_id, name),
  CONSTRAINT schedules_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id)
);

CREATE TABLE schema_migrations (
  number integer NOT NULL,
  name text NOT NULL,
  checksum text NOT NULL,
  applied_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT schema_migrations_pkey PRIMARY KEY (number)
);

CREATE TABLE step_artifacts (
  project_id text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  role text NOT NULL,
  name text NOT NULL,
  artifact_id text NOT NULL,
  CONSTRAINT step_artifacts_pkey PRIMARY KEY (run_id, step_key, role, name, artifact_id),
  CONSTRAINT step_artifacts_role_check CHECK ((role = ANY (ARRAY['input'::text, 'output'::text]))),
  CONSTRAINT step_artifacts_run_id_step_key_fkey FOREIGN KEY (run_id, step_key) REFERENCES steps(run_id, key)
);
CREATE INDEX step_artifacts_by_artifact ON public.step_artifacts USING btree (project_id, artifact_id, role);

CREATE TABLE step_claims (
  project_id text NOT NULL,
  content_key text NOT NULL,
  run_id text NOT NULL,
  step_key text NOT NULL,
  expires_at timestamp with time zone NOT NULL,
  CONSTRAINT step_claims_pkey PRIMARY KEY (project_id, content_key),
  CONSTRAINT step_claims_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id)
);
CREATE INDEX step_claims_by_step ON public.step_claims USING btree (run_id, step_key);

CREATE TABLE steps (
  project_id text NOT NULL,
  run_id text NOT NULL,
  key text NOT NULL,
  index integer NOT NULL,
  spec jsonb NOT NULL,
  status text NOT NULL,
  reason text,
  outputs jsonb,
  tracked_run_id text,
  started_at timestamp with time zone,
  ended_at timestamp with time zone,
  step text DEFAULT (spec ->> 'name'::text),
  content_key text,
  content_parts jsonb,
  reused_run_id text,
  reused_step_key text,
  reuse_note text,
  CONSTRAINT steps_pkey PRIMARY KEY (run_id, key),
  CONSTRAINT steps_run_id_fkey FOREIGN KEY (run_id) REFERENCES pipeline_runs(id),
  CONSTRAINT steps_status_check CHECK ((status = ANY (ARRAY['waiting'::text, 'running'::text, 'retrying'::text, 'succeeded'::text, 'failed'::text, 'skipped'::text, 'cancelled'::text])))
);
CREATE INDEX steps_by_content ON public.steps USING btree (project_id, content_key, ended_at DESC) WHERE ((content_key IS NOT NULL) AND (status = 'succeeded'::text) AND (reused_run_id IS NULL));
CREATE INDEX steps_by_name ON public.steps USING btree (run_id, step);
CREATE INDEX steps_by_name_and_end ON public.steps USING btree (project_id, step, ended_at DESC) WHERE ((content_key IS NOT NULL) AND (status = 'succeeded'::text) AND (reused_run_id IS NULL));

CREATE TABLE tokens (
  project_id text NOT NULL,
  id text NOT NULL,
  kind text NOT NULL,
  hash bytea NOT NULL,
  name text NOT NULL,
  permissions text[] NOT NULL,
  pipeline_run_id text,
  step_key text,
  attempt integer,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  expires_at timestamp with time zone,
  revoked_at timestamp with time zone,
  CONSTRAINT tokens_hash_key UNIQUE (hash),
  CONSTRAINT tokens_kind_check CHECK ((kind = ANY (ARRAY['user'::text, 'node'::text, 'attempt'::text, 'hook'::text]))),
  CONSTRAINT tokens_pkey PRIMARY KEY (id),
  CONSTRAINT tokens_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id)
);
CREATE INDEX tokens_of_steps ON public.tokens USING btree (pipeline_run_id, step_key) WHERE (revoked_at IS NULL);

CREATE TABLE transitions (
  project_id text NOT NULL,
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  run_id text NOT NULL,
  step_key text NOT NULL,
  attempt integer NOT NULL,
  state text NOT NULL,
  reason text,
  at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT transitions_pkey PRIMARY KEY (id),
  CONSTRAINT transitions_run_id_step_key_attempt_state_reason_key UNIQUE NULLS NOT DISTINCT (run_id, step_key, attempt, state, reason)
);
CREATE INDEX transitions_by_arrival ON public.transitions USING btree (run_id, id);

CREATE SEQUENCE experiment_ids AS bigint START 1 INCREMENT 1;
