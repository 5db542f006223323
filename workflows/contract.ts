import type { Graph, Outputs, Params, Plan } from '../schemas/plan';

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
  readonly runKey?: string;
}
export interface RunPipelineResult {
  readonly runId: string;
  readonly status: 'succeeded' | 'failed' | 'cancelled';
  readonly outputs: Readonly<Record<string, Outputs>>; // by step key
}
/** What `beginRun` gives the workflow. */
export interface BegunRun {
  readonly runId: string;
  readonly pipeline: string;
  readonly graph: Graph;
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

function isText(value: unknown, charsMin: number, charsMax: number): boolean {
  if (typeof value !== 'string' || value.includes('\0')) return false; // Postgres keeps no NUL
  return value.length >= charsMin && value.length <= charsMax;
}
