import type { PipelineRunDeps } from '../pipelines/pipeline-runs';
import { loadSegment as load } from '../pipelines/segments';
import type { Segment } from '../schemas/graph';
import { failureOf } from './failures';

/** Reads only: the same plan and params always give the same segments. */
export function createLoadSegment(
  deps: PipelineRunDeps,
): (input: Parameters<typeof load>[1]) => Promise<Segment> {
  return async function loadSegment(input) {
    try {
      return await load(deps, input);
    } catch (error) {
      throw failureOf(error);
    }
  };
}
