import { AppError, found, isAppError, requireArgument } from '../errors/app-error';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type {
  OverlapPolicy,
  PutSchedule,
  Schedule,
  ScheduleSpec,
  Timing,
} from '../schemas/schedules';
import type { Sql } from '../storage/postgres/client';
import { findPipelineRuns } from '../storage/postgres/pipeline-runs';
import { insertPlan } from '../storage/postgres/plans';
import * as stored from '../storage/postgres/schedules';
import type { PipelineRunDeps } from './pipeline-runs';
import { prepareStored } from './plans';

/** What Temporal knows of a schedule. */
export interface ScheduleState {
  readonly isPaused: boolean;
  readonly note: string;
  readonly next: readonly Date[];
  readonly runs: readonly { readonly runId: string; readonly scheduledAt: Date }[]; // oldest first
}
export interface Backfill {
  readonly from: Date;
  readonly to: Date;
  readonly overlap: OverlapPolicy;
}
/** The clock; implemented by api/starter.ts. NOT_FOUND if it does not know the schedule. */
export interface Scheduler {
  /** INVALID_ARGUMENT with Temporal's words if it cannot be done. */
  putSchedule(
    key: stored.ScheduleKey,
    spec: ScheduleSpec,
    state: { readonly isPaused: boolean | undefined; readonly note: string | undefined },
  ): Promise<void>;
  findSchedule(key: stored.ScheduleKey): Promise<ScheduleState | undefined>;
  pauseSchedule(
    key: stored.ScheduleKey,
    pause: { readonly isPaused: boolean; readonly note: string },
  ): Promise<void>;
  triggerSchedule(key: stored.ScheduleKey, overlap: OverlapPolicy): Promise<void>;
  /** How many runs it begins; INVALID_ARGUMENT if they are more than `max`. */
  backfillSchedule(key: stored.ScheduleKey, backfill: Backfill, max: number): Promise<number>;
  deleteSchedule(key: stored.ScheduleKey): Promise<void>;
}
export interface ScheduleDeps extends PipelineRunDeps {
  readonly starter: Scheduler;
}
type By = stored.ScheduleKey & { readonly actor: string };
interface WrittenSchedule {
  readonly spec: ScheduleSpec;
  readonly state: Parameters<Scheduler['putSchedule']>[2];
}

const NEXT_MAX = 5;
/** Each of a page is asked about at Temporal, so many at the same time. */
const LANES = 8;
/** A year of days, three weeks of hours; more is asked for in parts. Temporal counts to 1,000. */
const BACKFILL_RUNS_MAX = 500;

/** Creates a schedule or replaces it. Plan and params are checked as a run's are. */
export async function putSchedule(
  deps: ScheduleDeps,
  { actor, ...key }: By,
  { plan, planId: givenId, paused: isPaused, note, params: given, ...rest }: PutSchedule,
): Promise<Schedule> {
  const { projectId } = key;
  assertOneClock(rest);
  assertByHand(await stored.findSchedule(deps.postgres, key));
  const chosen = { projectId, params: given, plan, planId: givenId };
  const { planId, plan: checked, params } = await prepareStored(deps, chosen);
  await insertPlan(deps.postgres, { projectId, id: planId, plan: checked });
  const spec: ScheduleSpec = { ...rest, planId, pipeline: checked.name, params };
  const state = { isPaused, note };
  await deps.postgres.transaction((sql) =>
    writeSchedule(deps, sql, { ...key, actor, spec, state }),
  );
  return getSchedule(deps, key);
}

/** INVALID_ARGUMENT for a schedule with two clocks or none. */
export function assertOneClock({ cron, everySeconds }: Timing): void {
  const isOne = (cron === undefined) !== (everySeconds === undefined);
  requireArgument(isOne, "Give exactly one of 'cron' and 'everySeconds'.");
}

/** Puts a schedule whose plan is stored, also that of a deployed pipeline. */
export async function writeSchedule(
  deps: Pick<ScheduleDeps, 'starter'>,
  sql: Sql,
  { actor, spec, state, ...key }: By & WrittenSchedule,
): Promise<void> {
  // first the clock, which may refuse; if the row then fails, the same again mends it
  await deps.starter.putSchedule(key, spec, state);
  await stored.putSchedule(sql, { ...key, spec });
  await stored.auditSchedule(sql, { ...key, actor, action: 'put', detail: spec });
}

/** What a deployment has made is changed by deploying again. */
function assertByHand(row: stored.StoredSchedule | undefined): void {
  if (row?.spec.deployment === undefined) return;
  const message = `The schedule '${row.name}' belongs to the deployed pipeline of this name`;
  throw new AppError('INVALID_STATE', `${message}: change 'on' in its file and deploy it again.`);
}

/** One schedule with its next times and last runs, or NOT_FOUND. */
export async function getSchedule(deps: ScheduleDeps, key: stored.ScheduleKey): Promise<Schedule> {
  const row = found(await stored.findSchedule(deps.postgres, key), 'schedule', key.name);
  return describe(deps, row);
}

/** Schedules by name, behind the name `after`; `next` is null at the end. */
export async function listSchedules(
  deps: ScheduleDeps,
  list: { readonly projectId: string; readonly after: string; readonly limit: number },
): Promise<{ readonly schedules: readonly Schedule[]; readonly next: string | null }> {
  const limit = list.limit + 1; // one more tells whether there is a next page
  const rows = await stored.listSchedules(deps.postgres, { ...list, limit });
  const page = rows.slice(0, list.limit);
  const schedules: Schedule[] = [];
  for (let i = 0; i < page.length; i += LANES) {
    const some = page.slice(i, i + LANES);
    schedules.push(...(await Promise.all(some.map((row) => describe(deps, row)))));
  }
  return { schedules, next: rows.length > page.length ? (page.at(-1)?.name ?? null) : null };
}

async function describe(deps: ScheduleDeps, row: stored.StoredSchedule): Promise<Schedule> {
  const { projectId, name, spec, createdAt, updatedAt } = row;
  const state = await deps.starter.findSchedule(row);
  const last = [...(state?.runs ?? [])].reverse();
  const ids = last.map(({ runId }) => runId);
  const rows = await findPipelineRuns(deps.postgres, { projectId, ids });
  const byId = new Map(rows.map((run): [string, PipelineRun] => [run.id, run]));
  return {
    ...spec,
    name,
    isKnown: state !== undefined,
    isPaused: state?.isPaused ?? false,
    note: state?.note ?? '',
    next: (state?.next ?? []).slice(0, NEXT_MAX).map((at) => at.toISOString()),
    runs: last.map(({ runId, scheduledAt }) => ({
      id: runId,
      scheduledAt: scheduledAt.toISOString(),
      // its row comes with its first moment; until then nobody has taken it up
      status: byId.get(runId)?.status ?? 'queued',
      reason: byId.get(runId)?.reason ?? null,
    })),
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  };
}

/** Holds a schedule, or lets it go on. */
export async function pauseSchedule(
  deps: ScheduleDeps,
  { actor, ...key }: By,
  pause: { readonly isPaused: boolean; readonly note: string },
): Promise<Schedule> {
  await getSchedule(deps, key);
  await deps.starter.pauseSchedule(key, pause);
  const action = pause.isPaused ? 'pause' : 'unpause';
  const { note } = pause;
  await stored.auditSchedule(deps.postgres, { ...key, actor, action, detail: { note } });
  return getSchedule(deps, key);
}

/** Starts a run now, besides the times of the schedule; its overlap policy holds. */
export async function triggerSchedule(
  deps: ScheduleDeps,
  { actor, ...key }: By,
): Promise<Schedule> {
  const { overlap } = await getSchedule(deps, key);
  await deps.starter.triggerSchedule(key, overlap);
  await stored.auditSchedule(deps.postgres, { ...key, actor, action: 'trigger', detail: {} });
  return getSchedule(deps, key);
}

/** Starts the runs that a time of the past would have had. A time that had its run keeps it. */
export async function backfillSchedule(
  deps: ScheduleDeps,
  { actor, ...key }: By,
  backfill: Backfill,
): Promise<{ readonly runs: number }> {
  const { from, to } = backfill;
  requireArgument(from < to, "'from' must be before 'to'.");
  requireArgument(to.getTime() <= Date.now(), "'to' must not be in the future.");
  await getSchedule(deps, key);
  const runs = await deps.starter.backfillSchedule(key, backfill, BACKFILL_RUNS_MAX);
  const detail = { from, to, runs };
  await stored.auditSchedule(deps.postgres, { ...key, actor, action: 'backfill', detail });
  return { runs };
}

/** Removes a schedule; its runs stay, also one under way. */
export async function deleteSchedule(deps: ScheduleDeps, { actor, ...key }: By): Promise<void> {
  assertByHand(found(await stored.findSchedule(deps.postgres, key), 'schedule', key.name));
  await deps.postgres.transaction((sql) => removeSchedule(deps, sql, { ...key, actor }));
}

/** Removes a schedule, also that of a deployed pipeline. */
export async function removeSchedule(
  deps: Pick<ScheduleDeps, 'starter'>,
  sql: Sql,
  { actor, ...key }: By,
): Promise<void> {
  await deps.starter.deleteSchedule(key).catch((error: unknown) => {
    if (!isAppError(error) || error.code !== 'NOT_FOUND') throw error;
  });
  await stored.deleteSchedule(sql, key);
  await stored.auditSchedule(sql, { ...key, actor, action: 'delete', detail: {} });
}
