import type { FailureClass, Outputs } from './plan';

/**
 * The graph of a run, as its workflow sees it: topology and what decides on attempts. Specs, params
 * and outputs stay in Postgres. Plain types: this travels in histories, so it is kept small.
 */
export type NodeKind =
  /** Runs: a process on a node, or a built-in. */
  | 'step'
  /** Ends when all its needs have: the end of a foreach or of a sub-pipeline. */
  | 'join'
  /**
   * A foreach over what an earlier step gave, or a dynamic step: becomes a join of its items, or of the
   * steps inside, once those are known.
   */
  | 'expand';

/** What all nodes of one step of the plan have in common. */
export interface NodeSettings {
  readonly step: string; // name in the plan
  readonly builtin: boolean;
  /** Has an `if`, or its result may be there already: the activity `decideStep` says whether it runs. */
  readonly conditional: boolean;
  readonly pool: string;
  readonly timeoutSeconds: number; // of one attempt
  readonly totalTimeoutSeconds?: number; // of all attempts with their delays
  readonly graceSeconds: number;
  readonly retry: {
    readonly max: number;
    readonly on: readonly FailureClass[];
    /** All three, or none: then those of dag/retry-delays. */
    readonly delaySeconds?: number;
    readonly factor?: number;
    readonly maxDelaySeconds?: number;
  };
  /** Higher starts first among what is ready; 0 unless the step says otherwise. */
  readonly priority: number;
  readonly deadlineSeconds?: number; // from the start of the run
  /** The earliest deadline of the step and of all that waits for it; none if nothing has one. */
  readonly dueSeconds?: number;
}

export interface GraphNode {
  readonly key: string; // 'prepare', 'train[0]', 'sweep[0].fit'
  readonly kind: NodeKind;
  readonly index: number; // position in the graph: the last word in every order
  /** Keys that must have succeeded. */
  readonly needs: readonly string[];
  /** Those of them whose being skipped, all of them, skips this node; all unless told. */
  readonly skippedWith?: readonly string[];
  /** Keys that must have ended, however. */
  readonly after?: readonly string[];
  readonly settings: number; // position in Graph.settings
  readonly group?: string; // key of the join of its foreach
  /** The values of the foreach variables; not in histories. */
  readonly item?: Readonly<Record<string, unknown>> | undefined;
}

/** Rules of one foreach, by the key of its join. */
export interface NodeGroup {
  readonly parallel: number; // at most so many at once
  /** The share of items, from 0 to 1, that must succeed; conditions that were false do not count. */
  readonly minSuccess: number;
  /** No new item starts after so many failures of one class and reason. */
  readonly stopAfter?: number;
}

/** The settings of nodes that came into a run with a pipeline that a step has written. */
export interface BroughtSettings {
  readonly kinds: readonly NodeSettings[]; // no two are the same
  /** Which of them each step has; the nodes name their steps by position, from 0 on. */
  readonly of: readonly number[];
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly settings: readonly NodeSettings[];
  readonly groups: Readonly<Record<string, NodeGroup>>;
  /** How ready nodes are ordered; graphs in older histories have none, and the order of then. */
  readonly order?: 2;
}

/** The part of a graph that one workflow interprets. Needs outside of it are told by signals. */
export interface Segment extends Graph {
  readonly segment: number;
  /** Other segments that wait for nodes of this one: segment → key there → keys here. */
  readonly tells: readonly SegmentTell[];
}
export interface SegmentTell {
  readonly segment: number;
  /** Keys here that one node there waits for: told together, once all have ended. */
  readonly keys: readonly string[];
}

/**
 * How a node ended. `skipped`: by a condition or by a person; `blocked`: because a need did not succeed.
 */
export type NodeEnd = 'succeeded' | 'failed' | 'skipped' | 'blocked' | 'cancelled';
export interface EndedNode {
  readonly key: string;
  readonly end: NodeEnd;
  readonly reason?: string;
}

/** How the steps of a run ended, as its handlers see it. */
export type RunOutcome = 'succeeded' | 'failed' | 'cancelled';
/** What a handler may read besides params and outputs: `run.status` and `run.reason`. */
export interface EndedRun {
  readonly status: RunOutcome;
  readonly reason: string; // '' if there is none
}

/** What a node of an earlier step has left behind; `outputs` null if it did not succeed. */
export interface ScopeStep {
  /** Its name with the sub-pipelines around it: `sweep[0].fit`, which those beside it call `fit`. */
  readonly step: string;
  readonly isForeach: boolean;
  readonly item: Readonly<Record<string, unknown>> | undefined;
  readonly outputs: Outputs | null;
}
