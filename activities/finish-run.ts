import { finishPipelineRun, outputsOfRun, type PipelineRunDeps } from '../pipelines/pipeline-runs';
import type { Outputs } from '../schemas/plan';
import { failureOf } from './failures';

export type FinishRunInput = Parameters<typeof finishPipelineRun>[1];

export interface FinishedRun {
  readonly outputs: Readonly<Record<string, Outputs>>;
}

/** Idempotent by `runId`: the first end stays. Answers with the outputs, if they are not too large. */
export function createFinishRun(
  deps: PipelineRunDeps,
): (input: FinishRunInput) => Promise<FinishedRun> {
  return async function finishRun(input) {
    try {
      await finishPipelineRun(deps, input);
      return { outputs: await outputsOfRun(deps, input) };
    } catch (error) {
      throw failureOf(error);
    }
  };
}
