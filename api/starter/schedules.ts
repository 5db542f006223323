import { createHash } from 'node:crypto';
import {
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  type Client,
  type ScheduleHandle,
  type ScheduleOptions,
  type ScheduleOverlapPolicy,
} from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { given } from '../../dag/given';
import { AppError } from '../../errors/app-error';
import type { Backfill, Scheduler, ScheduleState } from '../../pipelines/schedules';
import type { RunTrigger } from '../../schemas/run-triggers';
import type { OverlapPolicy, ScheduleSpec } from '../../schemas/schedules';
import type { ScheduleKey } from '../../storage/postgres/schedules';
import {
  CONTROL_QUEUE,
  pipelineRunWorkflowId,
  RUN_PIPELINE,
  type RunPipelineInput,
} from '../../workflows/contract';
import { CALL_TIMEOUT_MS, grpcCode, within } from './calls';

const OVERLAP: Readonly<Record<OverlapPolicy, ScheduleOverlapPolicy>> = {
  skip: 'SKIP',
  'buffer-one': 'BUFFER_ONE',
  allow: 'ALLOW_ALL',
  'cancel-other': 'CANCEL_OTHER',
  'terminate-other': 'TERMINATE_OTHER',
};
/** Temporal asks the schedule's own workflow, which may be moving between workers for 5 s. */
const FIND_TIMEOUT_MS = 15_000;
const GRPC_INVALID_ARGUMENT = 3;
const PROJECT_HEX = 8;
const WORDS_CHARS_MAX = 500;

/** Temporal's schedules as ours: one of them for each, under the project and the name. */
export function createScheduler(client: Client): Scheduler {
  const on = <T>(key: ScheduleKey, call: (handle: ScheduleHandle) => Promise<T>): Promise<T> =>
    within(client, CALL_TIMEOUT_MS, () =>
      call(client.schedule.getHandle(scheduleId(key))).catch(refused(key)),
    );
  return {
    putSchedule: (key, spec, state) =>
      within(client, FIND_TIMEOUT_MS, () =>
        put(client, optionsOf(key, spec), state).catch(refused(key)),
      ),
    findSchedule: (key) =>
      within(client, FIND_TIMEOUT_MS, async () => {
        try {
          return await find(client.schedule.getHandle(scheduleId(key)));
        } catch (error) {
          if (error instanceof ScheduleNotFoundError) return undefined;
          throw error;
        }
      }),
    pauseSchedule: (key, { isPaused, note }) =>
      on(key, (handle) => {
        // an empty note would be replaced by words of the SDK
        const words = note === '' ? (isPaused ? 'paused' : 'goes on') : note;
        return isPaused ? handle.pause(words) : handle.unpause(words);
      }),
    triggerSchedule: (key, overlap) => on(key, (handle) => handle.trigger(OVERLAP[overlap])),
    backfillSchedule: (key, backfill, max) =>
      on(key, (handle) => fill(client, handle, { ...backfill, max })),
    deleteSchedule: (key) => on(key, (handle) => handle.delete()),
  };
}

function scheduleId({ projectId, name }: ScheduleKey): string {
  return `schedule/${projectId}/${name}`;
}

/** Temporal appends the time, so that a time has one run; other projects may use the same name. */
function runIdPrefix({ projectId, name }: ScheduleKey): string {
  if (projectId === 'default') return name;
  const hash = createHash('sha256').update(projectId).digest('hex');
  return `${hash.slice(0, PROJECT_HEX)}-${name}`;
}

function optionsOf(key: ScheduleKey, spec: ScheduleSpec): ScheduleOptions {
  const { planId, params, codeDigest, git, cron, everySeconds } = spec;
  const { projectId, name } = key;
  const of =
    spec.deployment === undefined ? {} : { deployment: { name, version: spec.deployment } };
  const trigger: RunTrigger = { kind: 'schedule', subject: name, ...of, chain: [] };
  const input: RunPipelineInput = {
    ...{ projectId, planId, params, trigger },
    ...given({ codeDigest, git }),
  };
  const jitter = spec.jitterSeconds * 1000;
  return {
    scheduleId: scheduleId(key),
    spec: {
      ...(cron === undefined ? {} : { cronExpressions: [cron] }),
      ...(everySeconds === undefined ? {} : { intervals: [{ every: everySeconds * 1000 }] }),
      ...(jitter === 0 ? {} : { jitter }),
      timezone: spec.timezone,
    },
    action: {
      type: 'startWorkflow',
      workflowType: RUN_PIPELINE,
      workflowId: pipelineRunWorkflowId(runIdPrefix(key)),
      taskQueue: CONTROL_QUEUE,
      args: [input],
      staticSummary: spec.pipeline,
    },
    policies: {
      overlap: OVERLAP[spec.overlap],
      catchupWindow: spec.catchUpSeconds * 1000,
    },
  };
}

async function put(
  client: Client,
  options: ScheduleOptions,
  given: { readonly isPaused: boolean | undefined; readonly note: string | undefined },
): Promise<void> {
  const { isPaused, note = '' } = given;
  try {
    await client.schedule.create({ ...options, state: { paused: isPaused ?? false, note } });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    const { spec, action, policies = {} } = options;
    await client.schedule.getHandle(options.scheduleId).update(({ state }) => ({
      ...{ spec, action, policies },
      state: { paused: isPaused ?? state.paused, note: given.note ?? state.note ?? '' },
    }));
  }
}

async function find(handle: ScheduleHandle): Promise<ScheduleState> {
  const { state, info } = await handle.describe();
  const prefix = pipelineRunWorkflowId('');
  return {
    isPaused: state.paused,
    note: state.note ?? '',
    next: info.nextActionTimes,
    runs: info.recentActions.map(({ scheduledAt, action }) => ({
      runId: action.workflow.workflowId.slice(prefix.length),
      scheduledAt,
    })),
  };
}

async function fill(
  client: Client,
  handle: ScheduleHandle,
  { from, to, overlap, max }: Backfill & { readonly max: number },
): Promise<number> {
  const { startTime } = await client.workflowService.listScheduleMatchingTimes({
    namespace: client.options.namespace,
    scheduleId: handle.scheduleId,
    startTime: msToTs(from.getTime()),
    endTime: msToTs(to.getTime()),
  });
  if (startTime.length > max) {
    const message = `That would be more than ${max} runs: ask for a shorter time.`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  if (startTime.length > 0)
    await handle.backfill({ start: from, end: to, overlap: OVERLAP[overlap] });
  return startTime.length;
}

/** Says what Temporal refused in its words: it alone knows what a cron expression may be. */
function refused(key: ScheduleKey) {
  return (cause: unknown): never => {
    if (cause instanceof ScheduleNotFoundError) {
      const message = `Temporal does not know the schedule '${key.name}': put it again.`;
      throw new AppError('NOT_FOUND', message, { cause });
    }
    // the SDK says with a TypeError what the server says of cron and time zone
    const isOfSpec = cause instanceof TypeError || grpcCode(cause) === GRPC_INVALID_ARGUMENT;
    if (!isOfSpec) throw cause;
    const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    const words = inner instanceof Error ? inner.message : String(inner);
    const why = words.replace(/^3 INVALID_ARGUMENT: /, '').slice(0, WORDS_CHARS_MAX);
    throw new AppError('INVALID_ARGUMENT', `Temporal refuses the schedule: ${why}.`, { cause });
  };
}
