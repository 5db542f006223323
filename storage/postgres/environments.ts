import type { AttemptEnvironment } from '../../schemas/pipeline-runs';
import type { Sql } from './client';

/** What the newest attempts of a step ran in, in two runs. */
export interface EnvironmentPair {
  readonly stepKey: string;
  readonly a: AttemptEnvironment;
  readonly b: AttemptEnvironment;
}

// what belongs to the run or to the content of the step says nothing of the machine
const BARE = (environment: string): string =>
  `(${environment} - '{seed,command,codeDigest}'::text[]) #- '{variables,ANNEAL_SEED}'
    #- '{variables,PYTHONHASHSEED}'`;
const DIFFERENT = `
WITH newest AS (
  SELECT DISTINCT ON (run_id, step_key) run_id, step_key, environment FROM attempts
  WHERE project_id = $1 AND run_id IN ($2, $3) AND environment IS NOT NULL
  ORDER BY run_id, step_key, attempt DESC
)
SELECT a.step_key AS "stepKey", a.environment AS a, b.environment AS b
FROM newest a JOIN newest b ON b.step_key = a.step_key AND b.run_id = $3
JOIN steps s ON s.run_id = a.run_id AND s.key = a.step_key
WHERE a.run_id = $2 AND ${BARE('a.environment')} <> ${BARE('b.environment')}
ORDER BY s.index, a.step_key LIMIT $4`;

/** The steps of both runs whose newest attempts ran in something else, in the order of the first run. */
export function listDifferentEnvironments(
  sql: Sql,
  runs: {
    readonly projectId: string;
    readonly a: string;
    readonly b: string;
    readonly limit: number;
  },
): Promise<EnvironmentPair[]> {
  const { projectId, a, b, limit } = runs;
  return sql.query<EnvironmentPair>(DIFFERENT, [projectId, a, b, limit]);
}
