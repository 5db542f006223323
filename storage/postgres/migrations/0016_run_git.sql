-- the commit of the project when its code was packed, and whether files differed from it
ALTER TABLE pipeline_runs ADD COLUMN git jsonb;
