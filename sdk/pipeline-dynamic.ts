import { given } from '../dag/given';
import { ArtifactKind } from '../schemas/plan';
import type { DynamicSpec } from '../schemas/plan';
import { isRecord } from './pipeline-keys';
import { readWith } from './pipeline-step';
import { isText, isTextList } from './step-reader';
import type { StepReader } from './step-reader';

/** Keys of a step that runs a pipeline which another step has written. */
export const DYNAMIC_KEYS = ['pipeline', 'with', 'outputs', 'if', 'after', 'else'];
/** What an output of such a pipeline may be said to be. */
const KINDS = ['any', 'value', ...ArtifactKind.options] as const;
const KINDS_RULE = `must be a list of names, or a mapping of names to ${KINDS.join(', ')}.`;

/** A step that becomes a sub-pipeline, without what it needs. */
export function readDynamic(name: string, reader: StepReader): DynamicSpec {
  const pipeline = reader.pick(
    ['pipeline'],
    isText,
    'must be an expression: steps.NAME.outputs.X.',
  );
  return {
    name,
    pipeline: pipeline ?? '',
    ...given({
      with: readWith(reader),
      outputs: readOutputs(reader),
      if: reader.pick(['if'], isText, 'must be an expression.'),
      after: reader.pick(['after'], isTextList, 'must be a list of step names.'),
    }),
    needs: [],
  };
}

function readOutputs(reader: StepReader): DynamicSpec['outputs'] {
  const { outputs } = reader.step;
  if (outputs === undefined) return undefined;
  const kinds: DynamicSpec['outputs'] = {};
  if (isTextList(outputs)) {
    for (const output of outputs) kinds[output] = 'any';
    return kinds;
  }
  if (!isRecord(outputs)) {
    reader.report(['outputs'], KINDS_RULE);
    return undefined;
  }
  for (const [output, value] of Object.entries(outputs)) {
    const kind = KINDS.find((known) => known === value);
    if (kind === undefined)
      reader.report(['outputs', output], `must be one of ${KINDS.join(', ')}.`);
    else kinds[output] = kind;
  }
  return kinds;
}
