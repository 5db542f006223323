import type { Plan } from '../../schemas/plan';
import type { Sql } from './client';

/** A canonical plan and its id, the SHA-256 of it. */
export interface StoredPlan {
  readonly projectId: string;
  readonly id: string;
  readonly plan: Plan;
}

// content-addressed: the same id is the same plan, so a second insert changes nothing
const INSERT = `
INSERT INTO plans (project_id, id, plan) VALUES ($1, $2, $3)
ON CONFLICT (project_id, id) DO NOTHING`;
const FIND = 'SELECT plan FROM plans WHERE project_id = $1 AND id = $2';

/** Stores a plan; nothing happens if it is there. */
export async function insertPlan(sql: Sql, stored: StoredPlan): Promise<void> {
  await sql.query(INSERT, [stored.projectId, stored.id, JSON.stringify(stored.plan)]);
}

/** The plan with this id, or undefined. */
export async function findPlan(sql: Sql, key: Omit<StoredPlan, 'plan'>): Promise<Plan | undefined> {
  const [row] = await sql.query<{ plan: Plan }>(FIND, [key.projectId, key.id]);
  return row?.plan;
}
