-- whoever follows a run asks for what is behind the last transition he saw, again and again
CREATE INDEX transitions_by_arrival ON transitions (run_id, id);
