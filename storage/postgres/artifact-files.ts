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
// text_pattern_ops: a prefix is a range of the index. Folded here: a folder is one row, however
// many files it holds
const SELECT_FOLDER = `
  SELECT split_part(substr(path, $4), '/', 1) COLLATE "C" AS name,
    strpos(substr(path, $4), '/') > 0 AS "isFolder",
    CASE WHEN strpos(substr(path, $4), '/') > 0 THEN 0 ELSE max(size_bytes) END AS "sizeBytes"
  FROM artifact_files
  WHERE project_id = $1 AND path ~>=~ $2 AND path ~<~ $3
  GROUP BY name, "isFolder" ORDER BY name LIMIT $5`;
const SELECT_CLASH = `
  SELECT path FROM artifact_files
  WHERE project_id = $1 AND (path = ANY($2) OR (path ~>=~ $3 AND path ~<~ $4)) LIMIT 1`;
const SELECT_BELOW = `
  SELECT path, digest, size_bytes AS "sizeBytes" FROM artifact_files
  WHERE project_id = $1 AND path ~>=~ $2 AND path ~<~ $3
  ORDER BY path COLLATE "C" LIMIT $4`;
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

/** The files at any depth below a folder, by path, at most `limit`. */
export function selectArtifactFiles(
  sql: Sql,
  find: { readonly projectId: string; readonly folder: string; readonly limit: number },
): Promise<ArtifactFile[]> {
  const values = [find.projectId, ...folderRange(find.folder), find.limit];
  return sql.query<ArtifactFile>(SELECT_BELOW, values);
}

/** A file or a folder directly below a folder; a folder's size is 0. */
export interface FolderEntry {
  readonly name: string;
  readonly isFolder: boolean;
  readonly sizeBytes: number;
}

/** What lies directly below a folder, by name, at most `limit` entries. */
export function selectFolder(
  sql: Sql,
  find: { readonly projectId: string; readonly folder: string; readonly limit: number },
): Promise<FolderEntry[]> {
  const nameFrom = find.folder === '' ? 1 : Array.from(find.folder).length + 2; // substr counts from 1
  const values = [find.projectId, ...folderRange(find.folder), nameFrom, find.limit];
  return sql.query<FolderEntry>(SELECT_FOLDER, values);
}

/** A file that stands where `path` needs a folder, or one below `path` itself. */
export async function selectClash(
  sql: Sql,
  find: { readonly projectId: string; readonly path: string; readonly parents: readonly string[] },
): Promise<string | undefined> {
  const values = [find.projectId, find.parents, ...folderRange(find.path)];
  return (await sql.query<{ path: string }>(SELECT_CLASH, values))[0]?.path;
}

/** Removes a file, or everything below a folder of that name. */
export async function deleteArtifactFiles(
  sql: Sql,
  { projectId, path }: { readonly projectId: string; readonly path: string },
): Promise<void> {
  await sql.query(DELETE, [projectId, path, ...folderRange(path)]);
}
