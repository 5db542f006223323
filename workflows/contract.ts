import type { BroughtSettings, EndedNode, Graph, GraphNode, Segment } from '../schemas/graph';
import type { Git } from '../schemas/git';
import type { Outputs, Params, Plan } from '../schemas/plan';
import type { RunTrigger } from '../schemas/run-triggers';

/**
 * The names by which anyone starts and steers our workflows, through the cli, the api or
 * @temporalio/client directly. Plain data and pure functions: imported by workflows, workers,
 * starter and tests alike.
 */
export const CONTROL_QUEUE = 'anneal-control';
/** Steps of a pool wait here; every step worker of that pool polls it. */
export function poolQueue(pool: string): string {
  return `anneal-pool-${pool}`;
}

/** Workflow type of one pipeline run; its workflow id is `pipelineRunWorkflowId(runId)`. */
export const RUN_PIPELINE = 'runPipeline';
export function pipelineRunWorkflowId(runId: string): string {
  return `pipeline-run/${runId}`;
}
/**
 * Input of `runPipeline`. Give `planId` of a stored plan, or the whole `plan` (≤ 1 MiB).
 * `runId` defaults to the part of the workflow id behind `pipeline-run/`, or the whole id.
 */
export interface RunPipelineInput {
  readonly projectId?: string; // 'default'
  readonly planId?: string;
  readonly plan?: Plan;
  readonly params?: Params;
  readonly codeDigest?: string;
  /** What the code was packed from. */
  readonly git?: Git;
  /** What started the run, if a trigger did. */
  readonly trigger?: RunTrigger;
  readonly runKey?: string;
  /** A run that has ended: steps with the same content take its results instead of running. */
  readonly resumedFrom?: string;
  /** This step of the plan, and all that follow from it, run in any case. */
  readonly rerunFrom?: string;
  /** Set by the workflow itself when it goes on in a new history. */
  readonly carried?: CarriedState | undefined;
  /** Set by the workflow itself when its steps have ended, and its handlers go on in a new history. */
  readonly handled?: SegmentResult | undefined;
  /** 1 (first) to 5; 3 unless given. */
  readonly priority?: number;
  /** When the run is due: `2026-01-31T18:00Z`, the next `18:00Z`, or `6h` from its beginning. */
  readonly deadline?: string;
}
export interface RunPipelineResult {
  readonly runId: string;
  readonly status: 'succeeded' | 'failed' | 'cancelled';
  /** By step key; empty if they are larger than 512 KiB in all: read them from the api. */
  readonly outputs: Readonly<Record<string, Outputs>>;
}
/** What `beginRun` gives the workflow. */
export interface BegunRun {
  readonly runId: string;
  readonly pipeline: string;
  /** How many workflows interpret the run; 1: the run's own workflow does. */
  readonly segments: number;
  /** The whole graph, if there is one segment only. */
  readonly segment: Segment | null;
  /** Steps that run when all others have ended. */
  readonly hasHandlers?: boolean;
}

/** Update of `runPipeline`: steers a run that is under way; answers when the run has taken it. */
export const CONTROL_RUN_UPDATE = 'controlRun';
/** Signal to a part of a run, with the same content. */
export const CONTROL_SEGMENT_SIGNAL = 'controlSegment';
export const PRIORITY_MIN = 1;
export const PRIORITY_MAX = 5;
export const PRIORITY_DEFAULT = 3;
/** What to change, who wants it, and why. */
export type ControlRun = {
  readonly actor: string;
  readonly reason: string;
} & (
  | { readonly action: 'pause' | 'continue' } // nothing new starts; what runs goes on
  | { readonly action: 'skip' | 'retry'; readonly stepKey: string; readonly part?: number } // found by the api
  | { readonly action: 'priority'; readonly priority: number } // 1 (first) to 5, normally 3
  | { readonly action: 'deadline'; readonly deadline: string | null } // ISO time; null: none
);

/** Why a control is refused before it is taken; undefined if it is not. */
export function controlProblem(control: ControlRun): string | undefined {
  const { actor, reason } = control;
  if (!isText(actor, 1, 500)) return 'The actor is not a text of 1 to 500 characters.';
  if (!isText(reason, 0, 1000)) return 'The reason is not a text of at most 1000 characters.';
  switch (control.action) {
    case 'pause':
    case 'continue':
      return undefined;
    case 'skip':
    case 'retry':
      return isText(control.stepKey, 1, 500) ? undefined : 'The step key is no text.';
    case 'priority': {
      const { priority } = control;
      const fits = Number.isInteger(priority) && priority >= PRIORITY_MIN;
      return fits && priority <= PRIORITY_MAX ? undefined : 'The priority is not 1 to 5.';
    }
    case 'deadline': {
      const { deadline } = control;
      const fits = deadline === null || (isText(deadline, 1, 100) && isTime(deadline));
      return fits ? undefined : 'The deadline is neither an ISO time nor null.';
    }
    default:
      return 'The action is none of pause, continue, skip, retry, priority and deadline.';
  }
}

/** Workflow type of one part of a large run; started by `runPipeline` only. */
export const RUN_SEGMENT = 'runSegment';
export function segmentWorkflowId(runId: string, segment: number): string {
  return `${pipelineRunWorkflowId(runId)}/segment/${segment}`;
}
export interface RunSegmentInput {
  readonly projectId: string;
  readonly runId: string;
  readonly pipeline: string;
  readonly segment: number;
  readonly priority: number;
  readonly carried?: CarriedState;
}
export interface SegmentResult {
  readonly isCancelled: boolean;
  /** What makes the run fail, the first few. */
  readonly failed: readonly EndedNode[];
}
/** Signal from segment to segment: nodes that the other one waits for have ended. */
export const NODES_ENDED_SIGNAL = 'nodesEnded';

/**
 * A foreach whose list became known, or a dynamic step whose pipeline did: all nodes of it, and the
 * rules of what is inside.
 */
export interface ExpandedNode {
  readonly key: string;
  readonly items: readonly GraphNode[];
  readonly groups: Graph['groups'];
  /** Of steps that an earlier step has written: the items name these. */
  readonly settings?: BroughtSettings;
}
/** What a step has used of its budgets, taken along while a pause holds its next attempt. */
export interface SpentBudget {
  readonly user: number; // failures by the step's own fault
  readonly infrastructure: number;
  readonly ms: number; // since it was ready first, without the pause
}
/** What an interpreter takes along into a new history; nothing runs at that moment. */
export interface CarriedState {
  readonly ended: readonly EndedNode[];
  readonly expanded: readonly ExpandedNode[];
  readonly attempts: readonly (readonly [key: string, attempt: number])[]; // of failed steps
  readonly spent?: readonly (readonly [key: string, spent: SpentBudget])[]; // of held steps
  readonly isPaused: boolean;
  readonly priority: number;
}

/** Entity workflow per registered model: serialises alias changes. */
export const MODEL_ALIASES = 'modelAliases';
export function modelAliasesWorkflowId(projectId: string, model: string): string {
  return `model-aliases/${projectId}/${model}`;
}
export const CHANGE_ALIAS_UPDATE = 'changeAlias';
export interface ModelAliasesInput {
  readonly projectId: string;
  readonly model: string;
}
/** One alias change. `version` null removes it; `expectedVersion` makes it a compare-and-swap. */
export interface ChangeAlias {
  readonly alias: string;
  readonly version: number | null;
  readonly expectedVersion?: number | null;
  readonly actor: string;
  readonly reason: string;
  readonly idempotencyKey: string;
}
export interface ChangedAlias {
  readonly alias: string;
  readonly version: number | null;
  readonly previousVersion: number | null;
  readonly revision: number;
}
/** Letters, digits, '_' and '-', as in MLflow. */
const ALIAS = /^[\w-]+$/;
/** `models:/name/latest` and `models:/name@v3` would read as something else. */
const RESERVED_ALIAS = /^(latest|v\d+)$/i;

/** Why this alias may not exist; undefined if it may. */
export function aliasProblem(alias: string): string | undefined {
  if (!isText(alias, 1, 255) || !ALIAS.test(alias)) {
    return `The alias '${alias}' is not 1 to 255 letters, digits, '_' or '-'.`;
  }
  return RESERVED_ALIAS.test(alias) ? `The alias '${alias}' is reserved.` : undefined;
}

/** Why a change is refused before any row is read; undefined if it is not. */
export function changeAliasProblem(change: ChangeAlias): string | undefined {
  const problem = aliasProblem(change.alias);
  if (problem !== undefined) return problem;
  const { version, expectedVersion, actor, reason, idempotencyKey } = change;
  if (!isVersion(version)) return 'The version is neither a whole number from 1 on nor null.';
  if (expectedVersion !== undefined && !isVersion(expectedVersion)) {
    return 'The expected version is neither a whole number from 1 on nor null.';
  }
  if (!isText(actor, 1, 500)) return 'The actor is not a text of 1 to 500 characters.';
  if (!isText(reason, 0, 1000)) return 'The reason is not a text of at most 1000 characters.';
  const keyFits = isText(idempotencyKey, 1, 500);
  return keyFits ? undefined : 'The idempotency key is not a text of 1 to 500 characters.';
}

function isVersion(value: unknown): boolean {
  const VERSION_MAX = 2 ** 31 - 1; // the column is an integer
  return (
    value === null ||
    (Number.isInteger(value) && Number(value) >= 1 && Number(value) <= VERSION_MAX)
  );
}

function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT/.test(text) && !Number.isNaN(Date.parse(text));
}

function isText(value: unknown, charsMin: number, charsMax: number): boolean {
  if (typeof value !== 'string' || value.includes('\0')) return false; // Postgres keeps no NUL
  return value.length >= charsMin && value.length <= charsMax;
}
