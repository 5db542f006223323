import type { PipelineRun, Progress, Step, StepStatus } from '../schemas/pipeline-runs';
import type { StepCounts } from '../schemas/run-graph';

const MINUTE_SECONDS = 60;
const HOUR_SECONDS = 3_600;
const DAY_SECONDS = 86_400;

/** A run in one line: what is usual is not said. */
export function describeRun(run: PipelineRun, nowMs = Date.now()): string {
  const { pipeline, status, isPaused, priority, endedAt } = run;
  const paused = isPaused && endedAt === null ? ' (paused)' : '';
  const first = priority === 3 ? '' : `, priority ${priority}`;
  return `${pipeline} ${status}${paused}${first}${describeDeadline(run, nowMs)}`;
}

/** `, due at …`, or by how much the run is or was late; nothing without a deadline. */
function describeDeadline({ deadline, endedAt }: PipelineRun, nowMs: number): string {
  if (deadline === null) return '';
  const lateMs = (endedAt === null ? nowMs : Date.parse(endedAt)) - Date.parse(deadline);
  if (lateMs > 0) return `, late by ${describeSeconds(lateMs / 1000)}: due at ${deadline}`;
  return endedAt === null ? `, due at ${deadline}` : '';
}

/** What a running step says of itself: `40 %, 2 min left, epoch 4`; nothing if it says nothing. */
export function describeProgress(progress: Progress | null): string {
  if (progress === null) return '';
  const { fraction, etaSeconds, message } = progress;
  const parts = [
    fraction === null ? '' : `${Math.floor(fraction * 100)} %`, // 100 % means all of it
    etaSeconds === null ? '' : `${describeSeconds(etaSeconds)} left`,
    message ?? '',
  ];
  return parts.filter((part) => part !== '').join(', ');
}

/** Why a step stands where it stands, and why it did its work although it has a cache. */
export function describeWhy({ reason, progress, cache }: Step): string {
  const why = reason ?? describeProgress(progress);
  const miss = cache === null || cache.hit || cache.explanation === reason ? '' : cache.explanation;
  return [why, miss === '' ? '' : `not from the cache: ${miss}`].filter((p) => p !== '').join('; ');
}

/** A length of time as people say it, in its largest unit: `45 s`, `3 min`, `2 h`, `5 d`. */
export function describeSeconds(seconds: number): string {
  if (seconds < MINUTE_SECONDS) return `${Math.floor(seconds)} s`;
  if (seconds < HOUR_SECONDS) return `${Math.floor(seconds / MINUTE_SECONDS)} min`;
  if (seconds < 2 * DAY_SECONDS) return `${Math.floor(seconds / HOUR_SECONDS)} h`;
  return `${Math.floor(seconds / DAY_SECONDS)} d`;
}

/** In which order statuses are told of. */
const STATUSES: readonly StepStatus[] = [
  'failed',
  'running',
  'retrying',
  'waiting',
  'succeeded',
  'skipped',
  'cancelled',
];

/** `20 steps, 18 succeeded, 2 running`. */
export function describeCounts({ total, byStatus }: StepCounts): string {
  const counts = STATUSES.flatMap((status) => {
    const count = byStatus[status] ?? 0;
    return count === 0 ? [] : [`${count} ${status}`];
  });
  return [`${total} ${total === 1 ? 'step' : 'steps'}`, ...counts].join(', ');
}
