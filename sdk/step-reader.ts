import { parseDuration } from '../dag/durations';
import { checkKeys, isRecord } from './pipeline-keys';
import type { Report } from './pipeline-document';

/** A key of a step, or a key inside one: `['retry', 'max']`. */
type Path = readonly [key: string, inner?: string];
export type StepReport = (key: readonly (string | number)[], message: string) => void;

export const isText = (value: unknown): value is string => typeof value === 'string';
export const isCount = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 1;
export const isTextList = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every(isText);
export const COUNT_RULE = 'must be a whole number of at least 1.';

/** Reads the keys of one step; every mistake is reported, never thrown. */
export class StepReader {
  readonly step: Readonly<Record<string, unknown>>;
  readonly report: StepReport;
  constructor(step: Readonly<Record<string, unknown>>, report: StepReport) {
    this.step = step;
    this.report = report;
  }

  /** The value at a path; undefined if it is not there, or if what holds it is no mapping. */
  at([key, inner]: Path): unknown {
    const value = this.step[key];
    return inner === undefined ? value : isRecord(value) ? value[inner] : undefined;
  }

  /** The value at a path if it is what the rule says; undefined if it is not there or was reported. */
  pick<T>(path: Path, is: (value: unknown) => value is T, rule: string): T | undefined {
    const value = this.at(path);
    if (value === undefined) return undefined;
    if (is(value)) return value;
    this.report(path.filter(isText), rule);
    return undefined;
  }

  count(...path: Path): number | undefined {
    return this.pick(path, isCount, COUNT_RULE);
  }

  /** Seconds. */
  duration(...path: Path): number | undefined {
    const text = this.pick(path, isDuration, 'must be a duration such as 90s, 10m, 6h or 7d.');
    return text === undefined ? undefined : parseDuration(text);
  }

  /** A mapping with known keys; anything else is reported and read as empty. */
  mapping(key: string, known: readonly string[]): Readonly<Record<string, unknown>> | undefined {
    const value = this.step[key];
    if (value === undefined) return undefined;
    if (!isRecord(value)) {
      this.report([key], `must be a mapping with ${known.join(', ')}.`);
      return {};
    }
    const report: Report = (path, message) => {
      this.report(path, message);
    };
    checkKeys(value, { path: [key], known, report });
    return value;
  }

  /** A mapping of names to texts; numbers are taken as texts. */
  texts(key: string): Readonly<Record<string, string>> | undefined {
    const value = this.step[key];
    if (value === undefined) return undefined;
    if (isRecord(value) && Object.values(value).every((v) => isText(v) || typeof v === 'number')) {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, String(v)]));
    }
    this.report([key], 'must be a mapping of names to texts.');
    return undefined;
  }
}

const isDuration = (value: unknown): value is string =>
  isText(value) && parseDuration(value) !== undefined;
