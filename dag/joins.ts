import type { EndedNode, GraphNode } from '../schemas/graph';

/**
 * How the join of a foreach or a sub-pipeline ends: with enough successes it succeeds, with no node
 * that was wanted it is skipped, with none that could begin it is blocked. `minSuccess` is a share of
 * those that were wanted.
 */
export function endOfJoin(key: string, ends: readonly EndedNode[], minSuccess: number): EndedNode {
  const wanted = ends.filter(({ end }) => end !== 'skipped');
  if (wanted.length === 0 && ends.length > 0) {
    return { key, end: 'skipped', reason: `${ends[0]?.key ?? 'its item'} was skipped` };
  }
  const isUnbegun = wanted.length > 0 && wanted.every(({ end }) => end === 'blocked');
  const succeeded = wanted.filter(({ end }) => end === 'succeeded').length;
  // a product of decimals may lie a hair above a whole number
  const isEnough = succeeded >= Math.ceil(minSuccess * wanted.length - 1e-9);
  if (isEnough && !isUnbegun) return { key, end: 'succeeded' };
  const failed = wanted.filter(({ end }) => end === 'failed');
  const [first] = failed;
  if (first === undefined) {
    const why = wanted.find(({ end }) => end !== 'succeeded')?.key ?? key;
    return { key, end: 'blocked', reason: `${why} did not succeed` };
  }
  const count = wanted.length > 1 ? `${failed.length} of ${wanted.length} failed; ` : '';
  return { key, end: 'failed', reason: `${count}${first.key}: ${first.reason ?? 'failed'}` };
}

/** The first of the needs whose being skipped skips a node, if all of those were; otherwise undefined. */
export function skippedBy(
  { needs, skippedWith = needs }: Pick<GraphNode, 'needs' | 'skippedWith'>,
  isSkipped: (key: string) => boolean,
): string | undefined {
  return skippedWith.every(isSkipped) ? skippedWith[0] : undefined;
}
