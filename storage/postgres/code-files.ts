import type { Sql } from './client';

type Files = Readonly<Record<string, string>>;
interface CodeKey {
  readonly projectId: string;
  readonly codeDigest: string;
}

// a bundle is named by its bytes, so what was said of it first stays true
const INSERT = `
INSERT INTO code_files (project_id, code_digest, files) VALUES ($1, $2, $3)
ON CONFLICT (project_id, code_digest) DO NOTHING`;
const FIND = 'SELECT files FROM code_files WHERE project_id = $1 AND code_digest = $2';

/** Keeps path → SHA-256 of the files in a code bundle. Repeating it changes nothing. */
export async function insertCodeFiles(
  sql: Sql,
  code: CodeKey & { readonly files: Files },
): Promise<void> {
  await sql.query(INSERT, [code.projectId, code.codeDigest, JSON.stringify(code.files)]);
}

/** The files of a code bundle; undefined if nobody has said which they are. */
export async function findCodeFiles(sql: Sql, key: CodeKey): Promise<Files | undefined> {
  const [row] = await sql.query<{ files: Files }>(FIND, [key.projectId, key.codeDigest]);
  return row?.files;
}
