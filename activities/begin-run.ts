import { beginPipelineRun, type PipelineRunDeps } from '../pipelines/pipeline-runs';
import type { BegunRun, RunPipelineInput } from '../workflows/contract';
import { failureOf } from './failures';

export interface BeginRunInput extends RunPipelineInput {
  readonly runId: string;
}

/** Idempotent by `runId`: a retry finds plan, run and steps stored and answers with the same graph. */
export function createBeginRun(deps: PipelineRunDeps): (input: BeginRunInput) => Promise<BegunRun> {
  return async function beginRun(input) {
    try {
      return await beginPipelineRun(deps, input);
    } catch (error) {
      throw failureOf(error);
    }
  };
}
