import type { RunTrigger } from '../schemas/run-triggers';
import type { Timing } from '../schemas/schedules';
import type { Triggers } from '../schemas/triggers';

/** When a schedule runs, in a few words. */
export function whenOf({ cron, everySeconds, timezone }: Timing): string {
  return cron === undefined ? `every ${everySeconds ?? 0} s` : `${cron} (${timezone})`;
}

/** What starts runs of a deployed pipeline, one line each. */
export function describeTriggers({ schedule, webhook }: Triggers): string[] {
  return [
    ...(schedule === undefined ? [] : [`schedule ${describeTiming(schedule)}`]),
    ...(webhook === undefined ? [] : [`webhook${describeParams(webhook.params)}`]),
  ];
}

function describeParams(params: Readonly<Record<string, string>>): string {
  const given = Object.entries(params).map(([name, text]) => `${name}=${text}`);
  return given.length === 0 ? '' : ` with ${given.join(', ')}`;
}

/** With all that differs from what holds unless told. */
function describeTiming(timing: Timing): string {
  const { overlap, catchUpSeconds, jitterSeconds } = timing;
  return [
    whenOf(timing),
    overlap === 'skip' ? '' : `overlap ${overlap}`,
    catchUpSeconds === 3600 ? '' : `catch-up ${catchUpSeconds} s`,
    jitterSeconds === 0 ? '' : `jitter ${jitterSeconds} s`,
  ]
    .filter((part) => part !== '')
    .join(', ');
}

/** `schedule nightly`, `model digits v3`, and the version of the pipeline that it started. */
export function describeTrigger({ kind, subject, deployment }: RunTrigger): string {
  const of = deployment === undefined ? '' : ` (${deployment.name} version ${deployment.version})`;
  return `${kind === 'request' ? 'a request of' : kind} ${subject}${of}`;
}
