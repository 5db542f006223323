import type { RunTrigger } from '../schemas/run-triggers';
import type { Timing } from '../schemas/schedules';
import type { DatasetTrigger, ModelTrigger, Triggers } from '../schemas/triggers';

/** When a schedule runs, in a few words. */
export function whenOf({ cron, everySeconds, timezone }: Timing): string {
  return cron === undefined ? `every ${everySeconds ?? 0} s` : `${cron} (${timezone})`;
}

/** What starts runs of a deployed pipeline, one line each. */
export function describeTriggers(triggers: Triggers): string[] {
  const { schedule, webhook, models = [], datasets = [] } = triggers;
  return [
    ...(schedule === undefined ? [] : [`schedule ${describeTiming(schedule)}`]),
    ...(webhook === undefined ? [] : [`webhook${describeParams(webhook.params)}`]),
    ...models.map((model) => `model ${describeModel(model)}${describeParams(model.params)}`),
    ...datasets.map((dataset) => `dataset ${datasetOf(dataset)}${describeParams(dataset.params)}`),
  ];
}

function describeModel({ name, event, alias }: ModelTrigger): string {
  if (event === 'version') return `${name}, new version`;
  return alias === undefined ? `${name}, any alias` : `${name}@${alias}`;
}

/** What a dataset is called among events. */
export function datasetOf({ pipeline, step, output }: Omit<DatasetTrigger, 'params'>): string {
  return `${pipeline}/${step}/${output}`;
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
