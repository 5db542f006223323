import type { Sql } from '../storage/postgres/client';
import { expireStepTokens } from '../storage/postgres/tokens';

/** The commit of a step may be sent again, and its last lines. */
const LAST_WORDS_SECONDS = 60;

/** Steps that have ended well, or all of a run, are soon not heard any more. */
export function endStepTokens(
  sql: Sql,
  of: {
    readonly projectId: string;
    readonly runId: string;
    readonly stepKeys: readonly string[] | null;
  },
): Promise<void> {
  return expireStepTokens(sql, { ...of, seconds: LAST_WORDS_SECONDS });
}
