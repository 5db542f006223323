-- when a run is due; it orders and is shown, and ends nothing by itself
ALTER TABLE pipeline_runs ADD COLUMN deadline_at timestamptz;
