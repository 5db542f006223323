import { ExpressionError } from '../dag/expressions';
import { runToArgv } from '../dag/command-line';
import { OutputSpec } from '../schemas/plan';
import type { StepSpec } from '../schemas/plan';
import { checkKeys, isRecord } from './pipeline-keys';
import type { Report } from './pipeline-document';
import { readCheckpoint, readCommon, readForeach } from './step-options';
import { given, isText, isTextList, StepReader } from './step-reader';

const FOREACH_KEYS = ['parallel', 'items_max', 'min_success', 'stop_after'];
const COMMON_KEYS = [
  'pool', 'timeout', 'total_timeout', 'retry', 'priority', 'env', 'secrets', 'heartbeat', 'cache',
]; // prettier-ignore
const STEP_KEYS = [
  'run', 'argv', 'uses', 'with', 'inputs', 'outputs', 'if', 'foreach', ...FOREACH_KEYS, 'after',
  'resources', 'checkpoint', ...COMMON_KEYS,
]; // prettier-ignore
const DEFAULT_KEYS = [...COMMON_KEYS, ...FOREACH_KEYS];
/** A step's own entries win inside these; of any other key the whole value does. */
const MERGED_KEYS = ['env', 'retry', 'heartbeat'];
/** What concerns a process: built-in steps have none. */
const PROCESS_KEYS = ['secrets', 'heartbeat', 'cache'];

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
  readCommon(reader);
  readForeach(reader);
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
    ...readCommand(reader),
    ...given({
      with: reader.pick(['with'], isRecord, 'must be a mapping.') as StepSpec['with'],
      inputs: reader.texts('inputs'),
      outputs: readOutputs(reader),
      if: reader.pick(['if'], isText, 'must be an expression.'),
      ...readForeach(reader),
      after: reader.pick(['after'], isTextList, 'must be a list of step names.'),
      checkpoint: readCheckpoint(reader),
    }),
    needs: [],
    ...readCommon(reader),
  };
}

/** What `defaults` say and the step does not; see MERGED_KEYS. */
function withDefaults(defaults: Raw['defaults'], step: Raw['defaults']): Raw['defaults'] {
  const isBuiltin = isText(step['uses']) && step['uses'].startsWith('builtin/');
  const left = [
    ...(isBuiltin ? PROCESS_KEYS : []),
    ...(step['foreach'] === undefined ? FOREACH_KEYS : []),
    ...(isRecord(step['resources']) && 'pool' in step['resources'] ? ['pool'] : []),
  ];
  const below = Object.entries(defaults).filter(([key]) => !left.includes(key));
  const merged: Record<string, unknown> = { ...Object.fromEntries(below), ...step };
  for (const key of MERGED_KEYS) {
    const [lower, upper] = [defaults[key], step[key]];
    if (isRecord(lower) && isRecord(upper)) merged[key] = { ...lower, ...upper };
  }
  return merged;
}

function readCommand(reader: StepReader): Pick<StepSpec, 'argv' | 'uses'> {
  const { run, argv, uses } = reader.step;
  if (isText(run) && argv === undefined && uses === undefined) return commandLine(reader, run);
  if (run !== undefined) {
    reader.report(['run'], "must be text, and without 'argv' or 'uses' beside it.");
  }
  return given({
    argv: reader.pick(['argv'], isTextList, 'must be a list of texts.'),
    uses: reader.pick(['uses'], isText, 'must be text.'),
  });
}

function commandLine(reader: StepReader, run: string): Pick<StepSpec, 'argv'> {
  try {
    return { argv: runToArgv(run) };
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    reader.report(['run'], `column ${error.column}: ${error.message}.`);
    return { argv: ['true'] }; // so that nothing is said about a missing command
  }
}

function readOutputs(reader: StepReader): StepSpec['outputs'] {
  const value = reader.step['outputs'];
  if (value === undefined) return undefined;
  if (!isRecord(value)) {
    reader.report(['outputs'], 'must be a mapping of names to kinds.');
    return undefined;
  }
  const outputs: NonNullable<StepSpec['outputs']> = {};
  for (const [name, one] of Object.entries(value)) {
    const parsed = OutputSpec.safeParse(longOutput(one));
    if (parsed.success) outputs[name] = parsed.data;
    else {
      reader.report(
        ['outputs', name],
        'must be model, dataset, file, value, {type, path} or {metric, pick: last|min|max}.',
      );
    }
  }
  return outputs;
}

/** `dataset` → {kind}; `value` → {value}; {type, path} → {kind, path}; {metric} → with pick. */
function longOutput(one: unknown): unknown {
  if (one === 'value') return { value: true };
  if (isText(one)) return { kind: one };
  if (!isRecord(one)) return one;
  if ('metric' in one) return { pick: 'last', ...one };
  const { type, ...rest } = one;
  return type === 'value' ? { value: true, ...rest } : { kind: type, ...rest };
}
