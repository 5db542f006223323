/** One point of a series. `value` may be NaN or ±Infinity; `step` is a safe integer. */
export interface MetricPoint {
  readonly key: string;
  readonly value: number;
  readonly step: number;
  readonly timestampMs: number;
}
/** Points of one run, as they are acknowledged together. */
export interface MetricBatch {
  readonly projectId: string;
  readonly runId: string; // 32 hex digits
  readonly attempt: number; // 0 outside a pipeline
  readonly points: readonly MetricPoint[];
}
