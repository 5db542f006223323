import { ExpressionError } from '../dag/expressions';
import { given } from '../dag/given';
import { runToArgv } from '../dag/command-line';
import { OutputSpec } from '../schemas/plan';
import type { StepSpec } from '../schemas/plan';
import { isRecord } from './pipeline-keys';
import { readAdopt, readCheckpoint, readCommon, readForeach, readMlflow } from './step-options';
import { isText, isTextList } from './step-reader';
import type { StepReader } from './step-reader';

/** Keys that mean something only beside foreach. */
export const FOREACH_KEYS = ['parallel', 'items_max', 'min_success', 'stop_after'];
/** Keys that `defaults` may set, too. */
export const COMMON_KEYS = [
  'pool', 'timeout', 'total_timeout', 'retry', 'priority', 'env', 'secrets', 'heartbeat', 'cache',
]; // prettier-ignore
/** Keys of a step that runs once, without those of its place in the order. */
export const LEAF_KEYS = [
  'run', 'argv', 'uses', 'with', 'inputs', 'outputs', 'if', 'resources', 'checkpoint', 'deadline',
  'adopt', 'mlflow',
  ...COMMON_KEYS,
]; // prettier-ignore

/** One step that runs something, without what it needs. */
export function readLeaf(name: string, reader: StepReader): StepSpec {
  return {
    name,
    ...readCommand(reader),
    ...given({
      with: readWith(reader),
      inputs: reader.texts('inputs'),
      outputs: readOutputs(reader),
      checkpoint: readCheckpoint(reader),
      deadlineSeconds: reader.duration('deadline'),
      adopt: readAdopt(reader),
      mlflow: readMlflow(reader),
    }),
    ...readOrder(reader),
    ...readCommon(reader),
  };
}

/** What any step may set: when it runs, and how often. */
export function readOrder(
  reader: StepReader,
): ReturnType<typeof readForeach> & Pick<StepSpec, 'if' | 'after' | 'needs'> {
  return {
    ...given({
      if: reader.pick(['if'], isText, 'must be an expression.'),
      after: reader.pick(['after'], isTextList, 'must be a list of step names.'),
    }),
    ...readForeach(reader),
    needs: [],
  };
}

export function readWith(reader: StepReader): StepSpec['with'] {
  return reader.pick(['with'], isRecord, 'must be a mapping.') as StepSpec['with'];
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
