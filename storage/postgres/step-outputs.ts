import type { ScopeStep } from '../../schemas/graph';
import type { Outputs } from '../../schemas/plan';
import type { Sql } from './client';
import type { StepKey } from './steps';

const OUTPUTS = `
SELECT key, outputs FROM steps WHERE project_id = $1 AND run_id = $2 AND outputs IS NOT NULL`;
const MEASURE = `
SELECT coalesce(sum(length(outputs::text)), 0)::integer AS bytes FROM steps
WHERE project_id = $1 AND run_id = $2 AND outputs IS NOT NULL`;
// items that became known late share the index of their foreach
const SCOPE = `
SELECT step, (spec ? 'foreach') AS is_foreach, spec->'item' AS item, outputs FROM steps
WHERE project_id = $1 AND run_id = $2 AND step = ANY($3)
ORDER BY index, length(key), key`;
// the first valid commit wins; a later one reads what was committed
const COMMIT = `
UPDATE steps SET outputs = coalesce(outputs, $4::jsonb)
WHERE project_id = $1 AND run_id = $2 AND key = $3
RETURNING outputs`;

/** The committed outputs of a run's steps, by step key. */
export async function findOutputs(
  sql: Sql,
  run: { readonly projectId: string; readonly runId: string },
): Promise<Record<string, Outputs>> {
  type Committed = { readonly key: string; readonly outputs: Outputs };
  const rows = await sql.query<Committed>(OUTPUTS, [run.projectId, run.runId]);
  return Object.fromEntries(rows.map((row) => [row.key, row.outputs]));
}

/** The size of all outputs of a run as JSON. */
export async function measureOutputs(
  sql: Sql,
  run: { readonly projectId: string; readonly runId: string },
): Promise<number> {
  const [row] = await sql.query<{ readonly bytes: number }>(MEASURE, [run.projectId, run.runId]);
  return row?.bytes ?? 0;
}

/** What the nodes of these steps of the plan have left behind, in the order of the graph. */
export async function findScopeSteps(
  sql: Sql,
  find: { readonly projectId: string; readonly runId: string; readonly steps: readonly string[] },
): Promise<ScopeStep[]> {
  interface Found {
    readonly step: string;
    readonly is_foreach: boolean;
    readonly item: Readonly<Record<string, unknown>> | null;
    readonly outputs: Outputs | null;
  }
  const rows = await sql.query<Found>(SCOPE, [find.projectId, find.runId, find.steps]);
  return rows.map(({ step, is_foreach: isForeach, item, outputs }) => ({
    step,
    isForeach,
    item: item ?? undefined,
    outputs,
  }));
}

/** Commits the outputs of a step; returns those of the first commit, undefined if no such step. */
export async function commitOutputs(
  sql: Sql,
  commit: StepKey & { readonly outputs: Outputs },
): Promise<Outputs | undefined> {
  const { projectId, runId, stepKey, outputs } = commit;
  const values = [projectId, runId, stepKey, JSON.stringify(outputs)];
  const [row] = await sql.query<{ outputs: Outputs }>(COMMIT, values);
  return row?.outputs;
}
