-- the token of a deployed pipeline's webhook: it starts runs of that pipeline and may do nothing else
ALTER TABLE tokens DROP CONSTRAINT tokens_kind_check;
ALTER TABLE tokens ADD CONSTRAINT tokens_kind_check
  CHECK (kind IN ('user', 'node', 'attempt', 'hook'));
