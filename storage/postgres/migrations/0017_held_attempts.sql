-- when a run was last steered, by the clock of its workflow: a change that comes late changes nothing
ALTER TABLE pipeline_runs ADD COLUMN steered_at timestamptz;
