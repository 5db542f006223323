import { given } from '../dag/given';
import type { OverlapPolicy } from '../schemas/schedules';

/** What starts runs of a pipeline once it is deployed. */
export interface OnOptions {
  /** By the clock: a cron expression, or more of it. */
  readonly schedule?: string | ScheduleOptions;
  /** By a call with a token; its JSON body may give params: `{ ref: 'body.ref' }`. */
  readonly webhook?: boolean | { readonly params?: TriggerParams };
  /** By a new version of a model, or by an alias that is set to one; several as a list. */
  readonly model?: ModelOptions | readonly ModelOptions[];
  /** By a dataset that a run of a pipeline has committed, if it differs from the one before. */
  readonly dataset?: DatasetOptions | readonly DatasetOptions[];
}

/** `params` are expressions over `event`: model, version and run; of an alias also alias and previous. */
export interface ModelOptions {
  readonly name: string;
  /** `version` unless told, or unless an alias is named. */
  readonly event?: 'version' | 'alias';
  readonly alias?: string;
  readonly params?: TriggerParams;
}

/** `params` are expressions over `event`: pipeline, run, step, output and artifact. */
export interface DatasetOptions {
  readonly pipeline: string;
  readonly step: string;
  readonly output: string;
  readonly params?: TriggerParams;
}

/** A param of the pipeline → an expression, or a plain value. */
export type TriggerParams = Readonly<Record<string, string | number | boolean>>;

/** When runs start; exactly one of `cron` and `every`. */
export interface ScheduleOptions {
  readonly cron?: string;
  /** `90s`, `10m`, `6h`, `7d`. */
  readonly every?: string;
  /** Of `cron`: a name of the IANA database; UTC unless told. */
  readonly timezone?: string;
  /** What happens when it is time and the run before goes on still; `skip` unless told. */
  readonly overlap?: OverlapPolicy;
  /** After an outage, runs are made up for that are late by no more than this; `1h` unless told. */
  readonly catchUp?: string;
  /** Each run starts late by a random time up to this. */
  readonly jitter?: string;
}

/** The same as the pipeline language writes it. */
export function onToDocument({ schedule, ...same }: OnOptions): object {
  return given({
    ...same,
    schedule: typeof schedule === 'object' ? toSchedule(schedule) : schedule,
  });
}

function toSchedule({ catchUp, ...same }: ScheduleOptions): object {
  return given({ ...same, catch_up: catchUp });
}
