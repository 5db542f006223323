import type { MetricPoint } from '../../schemas/metrics';

/** A point with what matters to the test. */
export function point(given: Partial<MetricPoint>): MetricPoint {
  return { key: 'loss', value: 0, step: 0, timestampMs: 1_760_000_000_000, ...given };
}
