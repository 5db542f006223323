import type { KeyValue, LifecycleStage } from './experiments';
import type { MetricPoint } from './metrics';

export type RunStatus = 'RUNNING' | 'SCHEDULED' | 'FINISHED' | 'FAILED' | 'KILLED';

/** A tracked run: one training's record. Times are Unix milliseconds. */
export interface Run {
  readonly id: string; // 32 hex digits
  readonly experimentId: number;
  readonly name: string;
  readonly userId: string;
  readonly status: RunStatus;
  readonly startedMs: number;
  readonly endedMs: number | null;
  readonly lifecycleStage: LifecycleStage;
  readonly artifactUri: string;
  readonly pipelineRunId: string | null;
  readonly stepKey: string | null;
  readonly attempt: number | null;
}
/** A run with everything that was logged to it; metrics are the newest points. */
export interface RunDetail {
  readonly run: Run;
  readonly params: readonly KeyValue[];
  readonly tags: readonly KeyValue[];
  readonly metrics: readonly MetricPoint[];
}
