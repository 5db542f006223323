-- lines in the order in which they became visible: whoever follows a run asks for those behind the
-- last one he saw, and misses none
ALTER TABLE log_lines ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY;
CREATE INDEX log_lines_by_arrival ON log_lines (run_id, id);
