import type { PipelineRunDeps } from '../pipelines/pipeline-runs';
import { recordTransitions as record } from '../pipelines/transitions';
import type { RecordTransitions } from '../storage/postgres/transitions';
import { failureOf } from './failures';

/** Idempotent by run, step, attempt, state and reason. */
export function createRecordTransitions(
  deps: PipelineRunDeps,
): (batch: RecordTransitions) => Promise<void> {
  return async function recordTransitions(batch) {
    try {
      await record(deps, batch);
    } catch (error) {
      throw failureOf(error);
    }
  };
}
