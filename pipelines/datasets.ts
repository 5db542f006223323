import type { Sql } from '../storage/postgres/client';
import * as stored from '../storage/postgres/event-triggers';
import type { StepKey, StoredStep } from '../storage/postgres/steps';

/** Tells those who wait for a step's datasets that they were committed; no other step pays for it. */
export async function announceDatasets(
  sql: Sql,
  key: StepKey,
  { spec }: Pick<StoredStep, 'spec'>,
): Promise<void> {
  const outputs = Object.values(spec.outputs ?? {});
  if (outputs.some((output) => 'kind' in output && output.kind === 'dataset')) {
    await stored.announceDatasets(sql, key);
  }
}
