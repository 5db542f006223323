-- how a run was steered, for those who look at it; its workflow holds the truth
ALTER TABLE pipeline_runs
  ADD COLUMN is_paused boolean NOT NULL DEFAULT false,
  ADD COLUMN priority smallint NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5);
