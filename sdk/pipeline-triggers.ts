import { given } from '../dag/given';
import { suggest } from '../dag/suggest';
import { triggerProblems } from '../dag/trigger-params';
import type { Plan } from '../schemas/plan';
import { OverlapPolicy, Timing } from '../schemas/schedules';
import type { Triggers } from '../schemas/triggers';
import { parseDuration } from '../dag/durations';
import type { Report } from './pipeline-document';
import { checkKeys, isRecord } from './pipeline-keys';
import { listToDocument, readDatasets, readModels } from './pipeline-events';
import { parsePath, type PathParts } from './problem-path';
import { isText, StepReader } from './step-reader';
import { readExpressions } from './trigger-expressions';

const KEYS = ['schedule', 'webhook', 'model', 'dataset'];
const SCHEDULE_KEYS = ['cron', 'every', 'timezone', 'overlap', 'catch_up', 'jitter'];
const DEFAULTS = Timing.parse({});
/** Temporal alone knows all that a cron expression may be; it says the rest when one is deployed. */
const CRON =
  /^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[\w*/,?#-]+( +[\w*/,?#-]+){4,6})$/;
const [DAY, YEAR] = [86_400, 366 * 86_400];

/** The `on` of a pipeline with these params; every mistake is reported. */
export function readTriggers(value: unknown, params: Plan['params'], report: Report): Triggers {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) {
    report(['on'], `must be a mapping with ${KEYS.join(', ')}.`);
    return {};
  }
  checkKeys(value, { path: ['on'], known: KEYS, report });
  const triggers = given({
    schedule: readSchedule(value['schedule'], report),
    webhook: readWebhook(value['webhook'], report),
    models: readModels(value['model'], report),
    datasets: readDatasets(value['dataset'], report),
  });
  for (const { path, message } of triggerProblems({ params }, triggers)) {
    report(placeOf(parsePath(path), value), message);
  }
  return triggers;
}

/** A single model or dataset stands there by itself, not in a list. */
function placeOf(path: PathParts, on: Readonly<Record<string, unknown>>): PathParts {
  const [, key = '', position] = path;
  const isAlone = typeof position === 'number' && isRecord(on[key]);
  return isAlone ? [...path.slice(0, 2), ...path.slice(3)] : path;
}

function readSchedule(value: unknown, report: Report): Timing | undefined {
  if (value === undefined || value === null) return undefined;
  const path = ['on', 'schedule'];
  if (!isText(value) && !isRecord(value)) {
    report(path, `must be a cron expression, or a mapping with ${SCHEDULE_KEYS.join(', ')}.`);
    return undefined;
  }
  const mapping = isText(value) ? { cron: value } : value;
  checkKeys(mapping, { path, known: SCHEDULE_KEYS, report });
  const reader = new StepReader(mapping, (key, message) => {
    report(isText(value) ? path : [...path, ...key], message);
  });
  if ((mapping['cron'] === undefined) === (mapping['every'] === undefined)) {
    report(path, "must have exactly one of 'cron' and 'every'.");
  }
  return {
    ...given({
      cron: reader.pick(['cron'], isCron, 'must be five fields, such as "0 3 * * *", or @daily.'),
      everySeconds: seconds(reader, 'every', [1, YEAR]),
    }),
    timezone: reader.pick(['timezone'], isTimezone, ZONE_RULE) ?? DEFAULTS.timezone,
    overlap: reader.pick(['overlap'], isOverlap, overlapRule(mapping)) ?? DEFAULTS.overlap,
    catchUpSeconds: seconds(reader, 'catch_up', [10, YEAR]) ?? DEFAULTS.catchUpSeconds,
    jitterSeconds: seconds(reader, 'jitter', [0, DAY]) ?? DEFAULTS.jitterSeconds,
  };
}

/** `true`, or a mapping with the params that the body of a call gives. */
function readWebhook(value: unknown, report: Report): Triggers['webhook'] {
  if (value === undefined || value === null || value === false) return undefined;
  const path = ['on', 'webhook'];
  if (value === true) return { params: {} };
  if (!isRecord(value)) {
    report(path, 'must be true, or a mapping with params.');
    return undefined;
  }
  checkKeys(value, { path, known: ['params'], report });
  return { params: readExpressions(value['params'], [...path, 'params'], report) };
}

function seconds(
  reader: StepReader,
  key: string,
  [min, max]: readonly [min: number, max: number],
): number | undefined {
  const value = reader.duration(key);
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) {
    return value;
  }
  reader.report([key], `must be from ${durationOf(min)} to ${durationOf(max)}, in whole seconds.`);
  return undefined;
}

const isCron = (value: unknown): value is string =>
  isText(value) && value.length <= 200 && CRON.test(value.trim());
const isOverlap = (value: unknown): value is OverlapPolicy =>
  OverlapPolicy.safeParse(value).success;
const ZONE_RULE = 'must be a name of the IANA database, such as Europe/Berlin.';

function isTimezone(value: unknown): value is string {
  if (!isText(value)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: value }).format();
    return true;
  } catch {
    return false;
  }
}

function overlapRule({ overlap }: Readonly<Record<string, unknown>>): string {
  const known = OverlapPolicy.options;
  return `must be one of ${known.join(', ')}.${isText(overlap) ? suggest(overlap, known) : ''}`;
}

/** Triggers as the pipeline language writes them; undefined if there are none. */
export function triggersToDocument(triggers: Triggers): object | undefined {
  const { schedule, webhook, models, datasets } = triggers;
  const mapping = given({
    schedule: schedule && scheduleToDocument(schedule),
    webhook: webhook && (Object.keys(webhook.params).length > 0 ? webhook : true),
    model: listToDocument(models),
    dataset: listToDocument(datasets),
  });
  return Object.keys(mapping).length > 0 ? mapping : undefined;
}

function scheduleToDocument(timing: Timing): unknown {
  const { cron, everySeconds, ...rest } = timing;
  const { timezone, overlap, catchUpSeconds, jitterSeconds } = rest;
  const other = <T>(value: T, unlessTold: T): T | undefined =>
    value === unlessTold ? undefined : value;
  const mapping = given({
    ...{ cron, every: everySeconds === undefined ? undefined : durationOf(everySeconds) },
    timezone: other(timezone, DEFAULTS.timezone),
    overlap: other(overlap, DEFAULTS.overlap),
    catch_up: other(durationOf(catchUpSeconds), durationOf(DEFAULTS.catchUpSeconds)),
    jitter: other(durationOf(jitterSeconds), durationOf(DEFAULTS.jitterSeconds)),
  });
  return Object.keys(mapping).join() === 'cron' ? cron : mapping;
}

/** In the largest unit that keeps it whole. */
function durationOf(value: number): string {
  const units = ['d', 'h', 'm', 's'];
  const unit = units.find((one) => value > 0 && value % (parseDuration(`1${one}`) ?? 1) === 0);
  const size = parseDuration(`1${unit ?? 's'}`) ?? 1;
  return `${value / size}${unit ?? 's'}`;
}
