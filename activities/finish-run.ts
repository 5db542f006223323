import { finishPipelineRun, type PipelineRunDeps } from '../pipelines/pipeline-runs';
import { failureOf } from './failures';

export type FinishRunInput = Parameters<typeof finishPipelineRun>[1];

/** Idempotent by `runId`: the first end stays. */
export function createFinishRun(deps: PipelineRunDeps): (input: FinishRunInput) => Promise<void> {
  return async function finishRun(input) {
    try {
      await finishPipelineRun(deps, input);
    } catch (error) {
      throw failureOf(error);
    }
  };
}
