import { ExpressionError } from '../dag/expressions';
import { suggest } from '../dag/suggest';
import { runToArgv } from '../dag/command-line';
import { FailureClass, OutputSpec } from '../schemas/plan';
import type { StepSpec } from '../schemas/plan';
import { parseDuration } from './durations';
import { checkKeys, isRecord } from './pipeline-keys';
import type { Report } from './pipeline-document';

const STEP_KEYS = [
  'run', 'argv', 'uses', 'with', 'inputs', 'outputs', 'if', 'foreach', 'parallel', 'after',
  'pool', 'resources', 'timeout', 'retry', 'env', 'checkpoint',
]; // prettier-ignore
const DEFAULT_KEYS = ['retry', 'timeout', 'pool', 'env'];
const DEFAULTS = {
  pool: 'cpu',
  timeout: '24h', // long enough for a day's training, short enough to end a forgotten one
  retry: { max: 2, on: ['crash', 'oom', 'timeout'] },
};
/** Three valid checkpoints are kept: the newest may be broken, the one before may be too. */
const CHECKPOINT = { keep: 3, grace: '120s' };

interface Raw {
  readonly name: string;
  readonly step: unknown;
  readonly defaults: Readonly<Record<string, unknown>>;
}

/** The `defaults` of a pipeline, checked as a step's would be; `{}` if there are none. */
export function checkDefaults(value: unknown, report: Report): Raw['defaults'] {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) {
    report(['defaults'], `must be a mapping with ${DEFAULT_KEYS.join(', ')}.`);
    return {};
  }
  const wrong: string[] = [];
  const noted: Report = (path, message) => {
    wrong.push(message);
    report(path, message);
  };
  checkKeys(value, { path: ['defaults'], known: DEFAULT_KEYS, report: noted });
  const reader = new StepReader(value, (key, message) => {
    noted(['defaults', ...key], message);
  });
  reader.common();
  return wrong.length > 0 ? {} : value; // what is wrong is reported once, not at every step
}

/** One step of the file as a step of the plan (without `needs`), or undefined after a report. */
export function readStep(raw: Raw, report: Report): StepSpec | undefined {
  const path = ['steps', raw.name];
  if (!isRecord(raw.step)) {
    report(path, 'must be a mapping.');
    return undefined;
  }
  checkKeys(raw.step, { path, known: STEP_KEYS, report });
  const reader = new StepReader(withDefaults(raw.defaults, raw.step), (key, message) => {
    report([...path, ...key], message);
  });
  return {
    name: raw.name,
    ...reader.command(),
    ...reader.optional('with', isRecord, 'must be a mapping.'),
    ...reader.texts('inputs'),
    ...reader.outputs(),
    ...reader.optional('if', isText, 'must be an expression.'),
    ...reader.texts('foreach'),
    ...reader.optional('parallel', isCount, 'must be a whole number of at least 1.'),
    ...reader.optional('after', isTextList, 'must be a list of step names.'),
    needs: [],
    ...reader.common(),
    ...reader.checkpoint(),
  };
}

/** A step's own keys win; the entries of `env` and `retry` are merged one by one. */
function withDefaults(defaults: Raw['defaults'], step: Raw['defaults']): Raw['defaults'] {
  const merged: Record<string, unknown> = { ...defaults, ...step };
  for (const key of ['env', 'retry']) {
    const [below, above] = [defaults[key], step[key]];
    if (isRecord(below) && isRecord(above)) merged[key] = { ...below, ...above };
  }
  const hasOwnPool = isRecord(step['resources']) && 'pool' in step['resources'];
  if (hasOwnPool && step['pool'] === undefined) delete merged['pool'];
  return merged;
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isInteger(value) && Number(value) >= 1;
const isTextList = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every(isText);

/** Reads the keys of one step; every mistake is reported, never thrown. */
class StepReader {
  private readonly step: Readonly<Record<string, unknown>>;
  private readonly report: (key: readonly string[], message: string) => void;
  constructor(
    step: Readonly<Record<string, unknown>>,
    report: (key: readonly string[], message: string) => void,
  ) {
    this.step = step;
    this.report = report;
  }

  optional<K extends keyof StepSpec>(
    key: K,
    is: (value: unknown) => boolean,
    rule: string,
  ): Partial<Pick<StepSpec, K>> {
    const value = this.step[key];
    if (value === undefined) return {};
    if (is(value)) return { [key]: value } as Partial<Pick<StepSpec, K>>;
    this.report([key], rule);
    return {};
  }

  /** What `defaults` may set too. */
  common(): Pick<StepSpec, 'pool' | 'timeoutSeconds' | 'retry' | 'env'> {
    return {
      pool: this.pool(),
      timeoutSeconds: this.duration(['timeout'], DEFAULTS.timeout),
      retry: this.retry(),
      ...this.texts('env'),
    };
  }

  command(): Pick<StepSpec, 'argv' | 'uses'> {
    const { run, argv, uses } = this.step;
    if (isText(run) && argv === undefined && uses === undefined) return this.commandLine(run);
    if (run !== undefined) {
      this.report(['run'], "must be text, and without 'argv' or 'uses' beside it.");
    }
    return {
      ...this.optional('argv', isTextList, 'must be a list of texts.'),
      ...this.optional('uses', isText, 'must be text.'),
    };
  }

  private commandLine(run: string): Pick<StepSpec, 'argv'> {
    try {
      return { argv: runToArgv(run) };
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      this.report(['run'], `column ${error.column}: ${error.message}.`);
      return { argv: ['true'] }; // so that nothing is said about a missing command
    }
  }

  texts(key: 'inputs' | 'env' | 'foreach'): Partial<Pick<StepSpec, typeof key>> {
    const value = this.step[key];
    if (value === undefined) return {};
    if (isRecord(value) && Object.values(value).every((v) => isText(v) || typeof v === 'number')) {
      return { [key]: Object.fromEntries(Object.entries(value).map(([k, v]) => [k, String(v)])) };
    }
    this.report([key], 'must be a mapping of names to texts.');
    return {};
  }

  outputs(): Partial<Pick<StepSpec, 'outputs'>> {
    const value = this.step['outputs'];
    if (value === undefined) return {};
    if (!isRecord(value)) {
      this.report(['outputs'], 'must be a mapping of names to kinds.');
      return {};
    }
    const outputs: NonNullable<StepSpec['outputs']> = {};
    for (const [name, given] of Object.entries(value)) {
      const parsed = OutputSpec.safeParse(longOutput(given));
      if (parsed.success) outputs[name] = parsed.data;
      else {
        this.report(
          ['outputs', name],
          'must be model, dataset, file, value, {type, path} or {metric, pick: last|min|max}.',
        );
      }
    }
    return { outputs };
  }

  private pool(): string {
    const { pool, resources } = this.step;
    const inner = this.mapping('resources', ['pool'], resources)['pool'];
    if (pool !== undefined && inner !== undefined) {
      this.report(['resources', 'pool'], "stands beside 'pool': leave one of them out.");
    }
    const chosen = pool ?? inner ?? DEFAULTS.pool;
    if (isText(chosen)) return chosen;
    this.report(['pool'], 'must be the name of a pool.');
    return DEFAULTS.pool;
  }

  private duration(path: readonly string[], fallback: string): number {
    const [key = '', inner] = path;
    const given = this.step[key];
    const value = (inner !== undefined && isRecord(given) ? given[inner] : given) ?? fallback;
    const seconds = isText(value) ? parseDuration(value) : undefined;
    if (seconds !== undefined) return seconds;
    this.report(path, 'must be a duration such as 90s, 10m, 6h or 7d.');
    return 1;
  }

  private retry(): StepSpec['retry'] {
    const given = this.mapping('retry', ['max', 'on'], this.step['retry']);
    const { max, on } = { ...DEFAULTS.retry, ...given };
    const isWhole = Number.isInteger(max) && max >= 0;
    if (!isWhole) this.report(['retry', 'max'], 'must be a whole number, 0 or more.');
    const classes = FailureClass.array().safeParse(on);
    if (!classes.success) {
      const rule = `must be a list of: ${FailureClass.options.join(', ')}.`;
      this.report(['retry', 'on'], rule + hintFor(on));
    }
    return { max: isWhole ? max : 0, on: classes.success ? classes.data : [] };
  }

  checkpoint(): Partial<Pick<StepSpec, 'checkpoint'>> {
    if (this.step['checkpoint'] === undefined) return {};
    const given = this.mapping('checkpoint', ['keep', 'grace'], this.step['checkpoint']);
    const keep = given['keep'] ?? CHECKPOINT.keep;
    if (!isCount(keep))
      this.report(['checkpoint', 'keep'], 'must be a whole number of at least 1.');
    const graceSeconds = this.duration(['checkpoint', 'grace'], CHECKPOINT.grace);
    return { checkpoint: { keep: isCount(keep) ? keep : 1, graceSeconds } };
  }

  /** A mapping with known keys; anything else is reported and read as empty. */
  private mapping(
    key: string,
    known: readonly string[],
    value: unknown,
  ): Readonly<Record<string, unknown>> {
    if (value === undefined) return {};
    if (!isRecord(value)) {
      this.report([key], `must be a mapping with ${known.join(', ')}.`);
      return {};
    }
    const report: Report = (path, message) => {
      this.report(path.map(String), message);
    };
    checkKeys(value, { path: [key], known, report });
    return value;
  }
}

/** The nearest failure class to the first entry that is none. */
function hintFor(classes: unknown): string {
  const names: readonly string[] = FailureClass.options;
  const list: unknown[] = Array.isArray(classes) ? classes : [];
  const wrong = list.find((name) => !names.includes(String(name)));
  return suggest(String(wrong), names);
}

/** `dataset` → {kind}; `value` → {value}; {type, path} → {kind, path}; {metric} → with pick. */
function longOutput(given: unknown): unknown {
  if (given === 'value') return { value: true };
  if (isText(given)) return { kind: given };
  if (!isRecord(given)) return given;
  if ('metric' in given) return { pick: 'last', ...given };
  const { type, ...rest } = given;
  return type === 'value' ? { value: true, ...rest } : { kind: type, ...rest };
}
