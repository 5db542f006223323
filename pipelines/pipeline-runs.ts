import { isDeepStrictEqual } from 'node:util';
import { given } from '../dag/given';
import { hasHandlers } from '../dag/handlers';
import { segmentsOf } from '../dag/segments';
import { AppError, found, requireArgument } from '../errors/app-error';
import type { PipelineRun, StartPipelineRun } from '../schemas/pipeline-runs';
import type { Outputs } from '../schemas/plan';
import type { RunTrigger } from '../schemas/run-triggers';
import { loseOpenAttempts } from '../storage/postgres/attempts';
import { errorCode, type Postgres, type Sql } from '../storage/postgres/client';
import { insertExperiment, selectExperimentByName } from '../storage/postgres/experiments';
import * as stored from '../storage/postgres/pipeline-runs';
import { insertPlan } from '../storage/postgres/plans';
import { closeRunsOfPipelineRun } from '../storage/postgres/runs';
import { releaseWork } from '../storage/postgres/step-claims';
import { findOutputs, measureOutputs } from '../storage/postgres/step-outputs';
import { endOpenSteps, insertSteps } from '../storage/postgres/steps';
import type { BegunRun, ControlRun, RunPipelineInput } from '../workflows/contract';
import { preparePlan, prepareStored, type PreparedPlan } from './plans';
import { deadlineFrom, deadlineOfRun } from './run-deadlines';
import { originOf } from './run-origin';
import { askForResults, toSteps, withoutItems } from './segments';
import { endStepTokens } from './step-tokens';

export interface PipelineRunDeps {
  readonly postgres: Postgres;
}
/** Starts and stops the workflow of a run; implemented by api/starter.ts. */
export interface PipelineRunStarter {
  /** Throws TEMPORAL_UNAVAILABLE if nothing can be started now. */
  ping(): Promise<void>;
  /** The id of the run: a new one, or that of the run which has this run key already. */
  startPipelineRun(
    input: RunPipelineInput & { readonly projectId: string; readonly pipeline: string },
  ): Promise<{ readonly runId: string }>;
  /** `gone` if no workflow of this run is open any more. */
  cancelPipelineRun(runId: string): Promise<'asked' | 'gone'>;
  /** Throws INVALID_STATE with the workflow's words if it cannot be done; `gone` as above. */
  controlPipelineRun(runId: string, control: ControlRun): Promise<'done' | 'gone'>;
}
export interface PipelineRunStart {
  readonly postgres: Postgres;
  readonly starter: PipelineRunStarter;
}
/** Ids may come from a client that starts the workflow itself; keys and paths are made of them. */
const RUN_ID = /^[\x21-\x7e]{1,80}$/;
/** A result is read by callers, not a store: larger outputs are read from the api. */
const RESULT_BYTES_MAX = 512 * 1024;
const UNIQUE_VIOLATION = '23505';
const FOREIGN_KEY_VIOLATION = '23503';

/**
 * Starts a run. With a run key at most one run exists for it, however often this is called, and
 * ALREADY_EXISTS if that one is of another plan or other params; without one, every call starts a run.
 * Plan and params are checked first, and all problems come at once.
 */
export async function startPipelineRun(
  deps: PipelineRunStart,
  input: { readonly projectId: string; readonly start: StartPipelineRun },
): Promise<PipelineRun> {
  const { projectId, start } = input;
  return startPreparedOnce(deps, { ...start, projectId, prepared: preparePlan(start) });
}

/** As startPipelineRun, for plan and params that were checked. */
export async function startPreparedOnce(
  deps: PipelineRunStart,
  start: StartPrepared,
): Promise<PipelineRun> {
  const { projectId, runKey, prepared } = start;
  const before =
    runKey === undefined
      ? undefined
      : await stored.findPipelineRunByRunKey(deps.postgres, { projectId, runKey });
  if (before === undefined) return startPrepared(deps, start);
  assertSameStart(before, prepared);
  return before;
}

type StartPrepared = Omit<StartPipelineRun, 'plan' | 'params'> & {
  readonly projectId: string;
  readonly prepared: PreparedPlan;
  readonly resumedFrom?: string;
  readonly rerunFrom?: string;
  readonly trigger?: RunTrigger;
};

/** Starts a run whose plan and params were checked. */
export async function startPrepared(
  deps: PipelineRunStart,
  start: StartPrepared,
): Promise<PipelineRun> {
  const { projectId, prepared, codeDigest, runKey, priority, resumedFrom, rerunFrom } = start;
  const { git, trigger } = start;
  const deadline = start.deadline === undefined ? undefined : deadlineFrom(start.deadline);
  await deps.starter.ping(); // before anything is written
  const { planId, plan, params } = prepared;
  await insertPlan(deps.postgres, { projectId, id: planId, plan });
  const { runId } = await deps.starter.startPipelineRun({
    projectId,
    planId,
    pipeline: plan.name,
    params,
    ...given({ codeDigest, runKey, priority, resumedFrom, rerunFrom, git, trigger, deadline }),
  });
  // the workflow writes the same row; whoever comes first does it, so a reader finds it at once
  const id = runId;
  const of = { projectId, id, planId, pipeline: plan.name, params };
  const deadlineAt = deadlineOfRun(deadline);
  const run = { ...of, codeDigest, runKey, priority, deadlineAt, ...originOf(plan, start) };
  await stored.insertPipelineRun(deps.postgres, run).catch(refusal(run));
  const started = await getPipelineRun(deps, { projectId, id });
  assertSameStart(started, prepared); // another start with this run key may have come first
  return started;
}

/** A run key that comes again asks for the same run, or it is a mistake. */
function assertSameStart(run: PipelineRun, { planId, params }: PreparedPlan): void {
  if (run.planId === planId && isDeepStrictEqual(run.params, params)) return;
  const message = `The run '${run.id}' has this run key, and another plan or other params.`;
  throw new AppError('ALREADY_EXISTS', `${message} Start under a new key.`);
}

/** Begins a run for its workflow: plan, run and steps are stored, the graph is answered. Idempotent. */
export async function beginPipelineRun(
  deps: PipelineRunDeps,
  input: RunPipelineInput & { readonly runId: string },
): Promise<BegunRun> {
  const { projectId = 'default', runId: id, codeDigest, runKey, priority } = input;
  requireArgument(RUN_ID.test(id), `The run id '${id}' must be 1 to 80 characters without blanks.`);
  const prepared = await prepareStored(deps, { ...input, projectId });
  const { planId, plan, params, graph } = prepared;
  const { name: pipeline } = plan;
  const of = { projectId, id, planId, pipeline, params };
  const deadlineAt = deadlineOfRun(input.deadline);
  const run = { ...of, codeDigest, runKey, priority, deadlineAt, ...originOf(plan, input) };
  const steps = toSteps(plan, graph.nodes);
  const segments = segmentsOf(askForResults(graph, input.resumedFrom !== undefined));
  const [segment] = segments;
  const store = async (sql: Sql): Promise<void> => {
    await insertPlan(sql, { projectId, id: planId, plan });
    await stored.insertPipelineRun(sql, run);
    await assertSameRun(sql, run);
    await insertSteps(sql, { projectId, runId: id, steps });
    await ensureExperiment(sql, { projectId, name: pipeline });
    await stored.startPipelineRun(sql, { projectId, id });
  };
  await deps.postgres.transaction(store).catch(refusal(run));
  const begun = { runId: id, pipeline, segments: segments.length, hasHandlers: hasHandlers(plan) };
  if (segments.length > 1 || segment === undefined) return { ...begun, segment: null };
  return { ...begun, segment: { ...segment, nodes: withoutItems(segment.nodes) } };
}

/**
 * The experiment that the steps' runs go to, before the first step. The MLflow client asks for it and
 * then makes it: of several steps that begin together all but one would fail.
 */
async function ensureExperiment(
  sql: Sql,
  experiment: { readonly projectId: string; readonly name: string },
): Promise<void> {
  const there = await selectExperimentByName(sql, experiment);
  if (there === undefined) await insertExperiment(sql, experiment);
}

/** Says in our words why Postgres refused a run. */
function refusal(run: { readonly projectId: string; readonly runKey: string | undefined }) {
  return (cause: unknown): never => {
    if (errorCode(cause) === FOREIGN_KEY_VIOLATION) {
      throw new AppError('NOT_FOUND', `No project '${run.projectId}' was found.`, { cause });
    }
    if (errorCode(cause) !== UNIQUE_VIOLATION) throw cause;
    const message = `The run key '${run.runKey ?? ''}' belongs to another run.`;
    throw new AppError('ALREADY_EXISTS', message, { cause });
  };
}

/** A workflow that comes back under the id of an ended or other run must not run its steps again. */
async function assertSameRun(
  sql: Sql,
  run: stored.PipelineRunKey & { readonly planId: string },
): Promise<void> {
  const there = await stored.findPipelineRun(sql, run);
  if (there?.planId === run.planId && there.endedAt === null) return;
  const why = there?.endedAt == null ? 'belongs to another run' : `has ended: ${there.status}`;
  throw new AppError('ALREADY_EXISTS', `The run id '${run.id}' ${why}; start under a new id.`);
}

/**
 * Writes how a run ended; the first end stays. Nothing if the run was never begun. What its workflow
 * could not end any more ends with it: steps, attempts and tracked runs.
 */
export async function finishPipelineRun(
  deps: PipelineRunDeps,
  input: {
    readonly projectId: string;
    readonly runId: string;
    readonly status: 'succeeded' | 'failed' | 'cancelled';
    readonly reason?: string;
  },
): Promise<void> {
  const { projectId, runId, status, reason } = input;
  const why = reason ?? `the run has ${status}`;
  await deps.postgres.transaction(async (sql) => {
    await stored.finishPipelineRun(sql, { projectId, id: runId, status, reason });
    await endOpenSteps(sql, { projectId, runId, reason: why });
    await loseOpenAttempts(sql, { projectId, runId, reason: why });
    await endStepTokens(sql, { projectId, runId, stepKeys: null });
    await releaseWork(sql, { projectId, runId, stepKey: null });
    const closed = { projectId, pipelineRunId: runId, status: TRACKED_STATUS[status] };
    await closeRunsOfPipelineRun(sql, { ...closed, atMs: Date.now() });
  });
}

/** The outputs of a run by step key; empty if they are too large for a workflow's result. */
export async function outputsOfRun(
  deps: PipelineRunDeps,
  run: { readonly projectId: string; readonly runId: string },
): Promise<Record<string, Outputs>> {
  const bytes = await measureOutputs(deps.postgres, run);
  return bytes <= RESULT_BYTES_MAX ? findOutputs(deps.postgres, run) : {};
}
/** What a tracked run shows that was still open when its pipeline run ended. */
const TRACKED_STATUS = { succeeded: 'FINISHED', failed: 'FAILED', cancelled: 'KILLED' } as const;

/** One run, or NOT_FOUND. */
export async function getPipelineRun(
  deps: PipelineRunDeps,
  key: stored.PipelineRunKey,
): Promise<PipelineRun> {
  return found(await stored.findPipelineRun(deps.postgres, key), 'pipeline run', key.id);
}

export interface PipelineRunPage {
  readonly runs: readonly PipelineRun[];
  /** Give it as `after` for the next page; null at the end. */
  readonly next: string | null;
}

/** A page of runs, newest first. `after` is the `next` of the page before. */
export async function listPipelineRuns(
  deps: PipelineRunDeps,
  list: Omit<stored.ListPipelineRuns, 'after'> & { readonly after: string | undefined },
): Promise<PipelineRunPage> {
  const after = list.after === undefined ? undefined : decodeCursor(list.after);
  const limit = list.limit + 1; // one more tells whether there is a next page
  const rows = await stored.listPipelineRuns(deps.postgres, { ...list, after, limit });
  const page = rows.slice(0, list.limit);
  const last = page.at(-1);
  const hasMore = rows.length > page.length && last !== undefined;
  return { runs: page.map((row) => row.run), next: hasMore ? encodeCursor(last.cursor) : null };
}

function encodeCursor(cursor: stored.PipelineRunCursor): string {
  return Buffer.from(`${cursor.createdAt} ${cursor.id}`).toString('base64url');
}
function decodeCursor(text: string): stored.PipelineRunCursor {
  const [, createdAt, id] =
    /^(\d{4}-[\d-]{5}T[\d:.]+Z) (.+)$/.exec(Buffer.from(text, 'base64url').toString()) ?? [];
  if (createdAt === undefined || id === undefined || Number.isNaN(Date.parse(createdAt))) {
    throw new AppError('INVALID_ARGUMENT', `'${text}' is not the 'next' of a page.`);
  }
  return { createdAt, id };
}
