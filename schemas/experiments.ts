export type LifecycleStage = 'active' | 'deleted';

/** A named group of tracked runs; `id` is an integer, shown as text on MLflow's wire. */
export interface Experiment {
  readonly id: number;
  readonly name: string;
  readonly artifactLocation: string;
  readonly lifecycleStage: LifecycleStage;
  readonly createdMs: number;
  readonly updatedMs: number;
}
/** A key and a text: a tag of an experiment or run, or a param. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
}
