import type { GraphNode } from '../../schemas/graph';
import type { FailureClass, Outputs, Params, Plan, StepSpec } from '../../schemas/plan';

/** What a step does in a test; one without any succeeds at once. */
export interface Behaviour {
  /** Attempt after attempt; those behind the last one succeed. */
  readonly failures?: readonly FailureClass[];
  readonly outputs?: Outputs;
  /** The text of a pipeline that it leaves behind as its output `plan`. */
  readonly writes?: string;
}
export interface WorldOptions {
  readonly plan: Plan;
  readonly params?: Params;
  readonly seed?: number;
  /** What becomes of each step, by key; all succeed if left out. */
  readonly behave?: (key: string) => Behaviour;
  /** Nodes in one workflow. */
  readonly segmentSteps?: number;
  /** How many events a workflow counts for each: many make new histories. */
  readonly eventFactor?: number;
  /** How long an attempt waits for a worker, at most: not at all if left out. */
  readonly queueMs?: number;
  /** The keys of what the run before has done: it is taken instead of run. */
  readonly reused?: ReadonlySet<string>;
}
/** What was asked for: an attempt, or a decision. */
export interface Begin {
  readonly key: string;
  readonly atMs: number;
  readonly task: number;
  readonly isDecision: boolean; // on its condition or list
}
/** One attempt of a step, in the time of the run. */
export interface Attempt {
  readonly key: string;
  readonly attempt: number;
  readonly startMs: number;
  readonly endMs: number;
  /** Undefined for a success. */
  readonly failure: FailureClass | 'cancelled' | undefined;
}
/** A step as Postgres would hold it. */
export interface Row {
  readonly spec: StepSpec;
  readonly item: GraphNode['item'];
  readonly index: number;
  status: string;
  outputs: Outputs | null;
}
