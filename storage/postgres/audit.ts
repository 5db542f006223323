import type { Sql } from './client';

/** Begins the audit row of a statement: it commits or fails with the change that it records. */
export const INSERT_AUDIT = 'INSERT INTO audit (project_id, actor, action, subject, detail)';

/** Who did what to what, and when. */
export interface AuditEntry {
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly at: Date;
}

const LIST = `
SELECT actor, action, subject, detail, at FROM audit
WHERE project_id = $1 AND subject = $2
ORDER BY id DESC
LIMIT $3`;

/** What happened to one subject (`model/<name>`), newest first. */
export async function listAudit(
  sql: Sql,
  wanted: { readonly projectId: string; readonly subject: string; readonly limit: number },
): Promise<AuditEntry[]> {
  return sql.query<AuditEntry>(LIST, [wanted.projectId, wanted.subject, wanted.limit]);
}
