import type { Sql } from './client';

const UPSERT = `
  INSERT INTO artifact_files (project_id, path, digest, size_bytes)
  SELECT $1, path, digest, size FROM unnest($2::text[], $3::text[], $4::bigint[])
    AS given (path, digest, size)
  ON CONFLICT (project_id, path) DO UPDATE
    SET digest = excluded.digest, size_bytes = excluded.size_bytes, created_at = now()`;
const SELECT = `
  SELECT path, digest, size_bytes AS "sizeBytes" FROM artifact_files
  WHERE project_id = $1 AND path = $2`;
// text_pattern_ops: a prefix is a range of the index
const SELECT_BELOW = `
  SELECT path, digest, size_bytes AS "sizeBytes" FROM artifact_files
  WHERE project_id = $1 AND path ~>=~ $2 AND path ~<~ $3
  ORDER BY path LIMIT $4`;
const DELETE = `
  DELETE FROM artifact_files
  WHERE project_id = $1 AND (path = $2 OR (path ~>=~ $3 AND path ~<~ $4))`;

/** A named file: bytes by digest under a path that is a key, never a file name of ours. */
export interface ArtifactFile {
  readonly path: string;
  readonly digest: string;
  readonly sizeBytes: number;
}
/** The first text behind everything that begins with `folder/`: '0' follows '/' in ASCII. */
function folderRange(folder: string): [from: string, to: string] {
  return folder === '' ? ['', '\u{10ffff}'] : [`${folder}/`, `${folder}0`];
}

export async function upsertArtifactFiles(
  sql: Sql,
  { projectId, files }: { readonly projectId: string; readonly files: readonly ArtifactFile[] },
): Promise<void> {
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  await sql.query(UPSERT, [
    projectId,
    sorted.map((f) => f.path),
    sorted.map((f) => f.digest),
    sorted.map((f) => f.sizeBytes),
  ]);
}

export async function selectArtifactFile(
  sql: Sql,
  { projectId, path }: { readonly projectId: string; readonly path: string },
): Promise<ArtifactFile | undefined> {
  const [row] = await sql.query<ArtifactFile>(SELECT, [projectId, path]);
  return row;
}

/** The files below a folder, at most `limit`. */
export function selectArtifactFiles(
  sql: Sql,
  find: { readonly projectId: string; readonly folder: string; readonly limit: number },
): Promise<ArtifactFile[]> {
  return sql.query<ArtifactFile>(SELECT_BELOW, [find.projectId, ...folderRange(find.folder), find.limit]);
}

/** Removes a file, or everything below a folder of that name. */
export async function deleteArtifactFiles(
  sql: Sql,
  { projectId, path }: { readonly projectId: string; readonly path: string },
): Promise<void> {
  await sql.query(DELETE, [projectId, path, ...folderRange(path)]);
}
