-- the digests of the files in a code bundle, for steps whose result depends on some of them only
CREATE TABLE code_files (
  project_id text NOT NULL REFERENCES projects (id),
  code_digest text NOT NULL,
  files jsonb NOT NULL,
  PRIMARY KEY (project_id, code_digest)
);
