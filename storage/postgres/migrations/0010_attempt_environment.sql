-- what an attempt ran in, as its worker found it: an object as schemas/attempts.ts names it
ALTER TABLE attempts ADD COLUMN environment jsonb;
