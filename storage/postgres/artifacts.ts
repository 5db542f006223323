import type { Manifest } from '../../schemas/artifacts';
import type { Sql } from './client';

const INSERT = `
  INSERT INTO artifacts (project_id, id, kind, manifest, size_bytes) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT DO NOTHING`;
const SELECT = `
  SELECT id, kind, manifest, size_bytes AS "sizeBytes" FROM artifacts
  WHERE project_id = $1 AND id = $2`;

export interface ArtifactRow {
  readonly id: string;
  readonly kind: string;
  readonly manifest: Manifest;
  readonly sizeBytes: number;
}

/** Stores an artifact; the same one again changes nothing. */
export async function insertArtifact(
  sql: Sql,
  artifact: ArtifactRow & { readonly projectId: string },
): Promise<void> {
  const { projectId, id, kind, manifest, sizeBytes } = artifact;
  await sql.query(INSERT, [projectId, id, kind, JSON.stringify(manifest), sizeBytes]);
}

export async function selectArtifact(
  sql: Sql,
  { projectId, id }: { readonly projectId: string; readonly id: string },
): Promise<ArtifactRow | undefined> {
  const [row] = await sql.query<ArtifactRow>(SELECT, [projectId, id]);
  return row;
}
