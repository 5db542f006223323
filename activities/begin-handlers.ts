import { beginHandlers as begin, type BeginHandlers } from '../pipelines/handlers';
import type { PipelineRunDeps } from '../pipelines/pipeline-runs';
import type { Segment } from '../schemas/graph';
import { failureOf } from './failures';

/** Idempotent by `runId`: rows that are there stay. */
export function createBeginHandlers(
  deps: PipelineRunDeps,
): (input: BeginHandlers) => Promise<Segment> {
  return async function beginHandlers(input) {
    try {
      return await begin(deps, input);
    } catch (error) {
      throw failureOf(error);
    }
  };
}
