import type { ScheduleSpec } from '../../schemas/schedules';
import { INSERT_AUDIT } from './audit';
import type { Sql } from './client';

export interface ScheduleKey {
  readonly projectId: string;
  readonly name: string;
}
export interface StoredSchedule extends ScheduleKey {
  readonly spec: ScheduleSpec;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}
export interface AuditSchedule extends ScheduleKey {
  readonly actor: string;
  readonly action: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

const COLUMNS = `
  project_id AS "projectId", name, spec, created_at AS "createdAt", updated_at AS "updatedAt"`;
const PUT = `
INSERT INTO schedules (project_id, name, spec) VALUES ($1, $2, $3)
ON CONFLICT (project_id, name) DO UPDATE SET spec = excluded.spec, updated_at = now()`;
const FIND = `SELECT ${COLUMNS} FROM schedules WHERE project_id = $1 AND name = $2`;
const LIST = `
SELECT ${COLUMNS} FROM schedules WHERE project_id = $1 AND name > $2 ORDER BY name LIMIT $3`;
const DELETE = 'DELETE FROM schedules WHERE project_id = $1 AND name = $2';
const AUDIT = `${INSERT_AUDIT} VALUES ($1, $3, 'schedule.' || $4, 'schedule/' || $2, $5)`;

/** Stores a schedule in place of what was there. */
export async function putSchedule(
  sql: Sql,
  schedule: ScheduleKey & { readonly spec: ScheduleSpec },
): Promise<void> {
  const { projectId, name, spec } = schedule;
  await sql.query(PUT, [projectId, name, JSON.stringify(spec)]);
}

/** One schedule, or undefined. */
export async function findSchedule(
  sql: Sql,
  key: ScheduleKey,
): Promise<StoredSchedule | undefined> {
  return (await sql.query<StoredSchedule>(FIND, [key.projectId, key.name]))[0];
}

/** Schedules by name, behind the name `after`. */
export function listSchedules(
  sql: Sql,
  list: { readonly projectId: string; readonly after: string; readonly limit: number },
): Promise<StoredSchedule[]> {
  return sql.query<StoredSchedule>(LIST, [list.projectId, list.after, list.limit]);
}

/** Removes a schedule; its runs stay. */
export async function deleteSchedule(sql: Sql, key: ScheduleKey): Promise<void> {
  await sql.query(DELETE, [key.projectId, key.name]);
}

/** Keeps who did what to a schedule. */
export async function auditSchedule(sql: Sql, audit: AuditSchedule): Promise<void> {
  const { projectId, name, actor, action, detail } = audit;
  await sql.query(AUDIT, [projectId, name, actor, action, JSON.stringify(detail)]);
}
