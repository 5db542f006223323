import { runToArgv } from '../dag/template';
import { FailureClass, OutputSpec } from '../schemas/plan';
import type { StepSpec } from '../schemas/plan';
import { parseDuration } from './durations';
import { checkKeys, isRecord } from './pipeline-yaml-keys';
import type { Report } from './pipeline-yaml';

const STEP_KEYS = [
  'run', 'argv', 'uses', 'with', 'inputs', 'outputs', 'if', 'foreach', 'parallel', 'after',
  'pool', 'resources', 'timeout', 'retry', 'env', 'checkpoint',
];
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

/** One step of the file as a step of the plan (without `needs`), or undefined after a report. */
export function readStep(raw: Raw, report: Report): StepSpec | undefined {
  const path = ['steps', raw.name];
  if (!isRecord(raw.step)) {
    report(path, 'must be a mapping.');
    return undefined;
  }
  checkKeys(raw.step, { path, known: STEP_KEYS, report });
  checkKeys(raw.defaults, { path: ['defaults'], known: DEFAULT_KEYS, report });
  const step = { ...raw.defaults, ...raw.step };
  const reader = new StepReader(step, (key, message) => {
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
    pool: reader.pool(),
    timeoutSeconds: reader.duration('timeout', step['timeout'] ?? DEFAULTS.timeout),
    retry: reader.retry(),
    ...reader.texts('env'),
    ...reader.checkpoint(),
  };
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isInteger(value) && Number(value) >= 1;
const isTextList = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);

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

  command(): Pick<StepSpec, 'argv' | 'uses'> {
    const { run, argv, uses } = this.step;
    if (isText(run) && argv === undefined && uses === undefined) return { argv: runToArgv(run) };
    if (run !== undefined) this.report(['run'], "must be text, and without 'argv' or 'uses' beside it.");
    return {
      ...this.optional('argv', isTextList, 'must be a list of texts.'),
      ...this.optional('uses', isText, 'must be text.'),
    };
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

  pool(): string {
    const { pool, resources } = this.step;
    if (isRecord(resources)) {
      checkKeys(resources, {
        path: ['resources'],
        known: ['pool'],
        report: (path, message) => {
          this.report(path.map(String), message);
        },
      });
    }
    const chosen = pool ?? (isRecord(resources) ? resources['pool'] : undefined) ?? DEFAULTS.pool;
    if (isText(chosen) && /^[a-z][a-z0-9-]*$/.test(chosen)) return chosen;
    this.report(['pool'], 'must be the name of a pool.');
    return DEFAULTS.pool;
  }

  duration(key: string, value: unknown): number {
    const seconds = isText(value) ? parseDuration(value) : undefined;
    if (seconds !== undefined) return seconds;
    this.report(key.split('.'), 'must be a duration such as 90s, 10m, 6h or 7d.');
    return 1;
  }

  retry(): StepSpec['retry'] {
    const given = this.step['retry'];
    if (given !== undefined && !isRecord(given)) this.report(['retry'], 'must be {max, on}.');
    const retry = { ...DEFAULTS.retry, ...(isRecord(given) ? given : {}) };
    const on = FailureClass.array().safeParse(retry.on);
    if (!on.success) this.report(['retry', 'on'], `must be a list of: ${FailureClass.options.join(', ')}.`);
    if (!Number.isInteger(retry.max) || retry.max < 0) this.report(['retry', 'max'], 'must be 0 or more.');
    return { max: Number(retry.max), on: on.success ? on.data : [] };
  }

  checkpoint(): Partial<Pick<StepSpec, 'checkpoint'>> {
    const given = this.step['checkpoint'];
    if (given === undefined) return {};
    if (!isRecord(given)) {
      this.report(['checkpoint'], 'must be a mapping with keep and grace.');
      return {};
    }
    checkKeys(given, {
      path: ['checkpoint'],
      known: ['keep', 'grace'],
      report: (path, message) => {
        this.report(path.map(String), message);
      },
    });
    const keep = given['keep'] ?? CHECKPOINT.keep;
    if (!isCount(keep)) this.report(['checkpoint', 'keep'], 'must be a whole number of at least 1.');
    const graceSeconds = this.duration('checkpoint.grace', given['grace'] ?? CHECKPOINT.grace);
    return { checkpoint: { keep: Number(keep), graceSeconds } };
  }
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
