-- what a step reads of earlier ones is found by their names in the plan
ALTER TABLE steps ADD COLUMN step text GENERATED ALWAYS AS (spec->>'name') STORED;
CREATE INDEX steps_by_name ON steps (run_id, step);
