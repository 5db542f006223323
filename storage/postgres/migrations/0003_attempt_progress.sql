-- what a step last said of itself in its status file: an object as schemas/pipeline-runs.ts names it
ALTER TABLE attempts ADD COLUMN progress jsonb;
