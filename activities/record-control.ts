import type { PipelineRunDeps } from '../pipelines/pipeline-runs';
import { recordControl as record, type RecordControl } from '../pipelines/run-controls';
import { failureOf } from './failures';

/** Idempotent by run and time: a change that comes late, or again, changes nothing. */
export function createRecordControl(
  deps: PipelineRunDeps,
): (change: RecordControl) => Promise<void> {
  return async function recordControl(change) {
    try {
      await record(deps, change);
    } catch (error) {
      throw failureOf(error);
    }
  };
}
