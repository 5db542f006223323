import { listSteps } from '../../pipelines/step-reasons';
import { listTransitions } from '../../pipelines/transitions';
import type { Step } from '../../schemas/pipeline-runs';
import type { CacheSpec, Plan } from '../../schemas/plan';
import { plan, step } from './plans';
import type { TestDatabase } from './postgres';

const projectId = 'default';
let nextName = 0;

/** A name that no other step has, so that nobody finds another one's results. */
export function uniqueName(): string {
  return `cached-${(nextName += 1)}`;
}

/** A pipeline of its own: `prepare` with a cache, unless it is null, and `use` behind it. */
export function cachedPlan(cache: CacheSpec | null = {}): Plan {
  const name = uniqueName();
  const steps = [
    step('prepare', {
      argv: ['prepare', name, '${{ params.rows }}'],
      outputs: { rows: { value: true } },
      ...(cache === null ? {} : { cache }),
    }),
    step('use', { inputs: { rows: 'steps.prepare.outputs.rows' } }),
  ];
  return { ...plan(steps, { rows: { type: 'number', default: 3 } }), name };
}

/** The step `prepare` of a run; undefined if the run has not begun. */
export async function findPrepare(db: TestDatabase, runId: string): Promise<Step | undefined> {
  const [known] = await db.postgres.query('SELECT 1 FROM pipeline_runs WHERE id = $1', [runId]);
  if (known === undefined) return undefined;
  const steps = await listSteps(db, { projectId, runId });
  return steps.find(({ key }) => key === 'prepare');
}
export async function prepareOf(db: TestDatabase, runId: string): Promise<Step> {
  const found = await findPrepare(db, runId);
  if (found === undefined) throw new Error(`no step prepare in run ${runId}`);
  return found;
}
/** The states that it went through. */
export async function statesOfPrepare(db: TestDatabase, runId: string): Promise<string[]> {
  const all = await listTransitions(db, { projectId, runId, after: 0, limit: 5_000 });
  return all.filter(({ stepKey }) => stepKey === 'prepare').map(({ state }) => state);
}
