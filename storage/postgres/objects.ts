import type { Sql } from './client';

const SELECT_KNOWN = `
  SELECT digest, size_bytes AS "sizeBytes" FROM objects WHERE project_id = $1 AND digest = ANY($2)`;
const INSERT = `
  INSERT INTO objects (project_id, digest, size_bytes)
  SELECT $1, digest, size FROM unnest($2::text[], $3::bigint[]) AS given (digest, size)
  ON CONFLICT DO NOTHING`;

export interface KnownObject {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** Which of these digests the project holds already. */
export function selectObjects(
  sql: Sql,
  { projectId, digests }: { readonly projectId: string; readonly digests: readonly string[] },
): Promise<KnownObject[]> {
  return sql.query<KnownObject>(SELECT_KNOWN, [projectId, digests]);
}

/** Records verified objects; known ones stay as they are. */
export async function insertObjects(
  sql: Sql,
  { projectId, objects }: { readonly projectId: string; readonly objects: readonly KnownObject[] },
): Promise<void> {
  const sorted = [...objects].sort((a, b) => (a.digest < b.digest ? -1 : 1)); // one order: no deadlock
  const values = [projectId, sorted.map((o) => o.digest), sorted.map((o) => o.sizeBytes)];
  await sql.query(INSERT, values);
}
