-- few among many: those whose workflow is asked whether it is still there
CREATE INDEX pipeline_runs_open ON pipeline_runs (id) WHERE ended_at IS NULL;
