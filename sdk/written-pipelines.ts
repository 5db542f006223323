import type { z } from 'zod';
import type { StepDocument } from './builder-level';
import type { OutputsOf, StepOptions } from './pipeline-types';
import { mapEntries, outputsOf, outputToDocument, toInput } from './pipeline-values';
import { ArtifactReference, pathTo, Reference } from './references';
import type { OutputReferences } from './references';

/** What a pipeline that a step has written must give: names, or what each of them is. */
export type WrittenOutputs = readonly string[] | Readonly<Record<string, z.ZodType>>;

/** How a pipeline that a step has written is run. */
export interface WrittenOptions<O extends WrittenOutputs> extends Pick<StepOptions, 'after'> {
  /** Its params: values, references, or artifacts. */
  readonly with?: Readonly<Record<string, unknown>>;
  readonly outputs?: O;
}

/** The references to its outputs; those that are only named fit wherever a value is taken. */
export type WrittenReferences<O> = O extends readonly (infer N extends string)[]
  ? { readonly [K in N]: Reference<never> }
  : OutputsOf<O>;

/** The step as the pipeline language writes it, and the references to its outputs. */
export function writtenStep<O extends WrittenOutputs>(
  name: string,
  file: ArtifactReference<'pipeline'>,
  { with: values = {}, outputs, after }: WrittenOptions<O>,
): { readonly document: StepDocument; readonly outputs: WrittenReferences<O> } {
  const document = {
    pipeline: file.expression,
    with: mapEntries(values, toParam),
    outputs: isList(outputs) ? outputs : mapEntries(outputs ?? {}, outputToDocument),
    after,
  };
  return { document, outputs: referencesTo(name, outputs) as WrittenReferences<O> };
}

function isList(outputs: WrittenOutputs | undefined): outputs is readonly string[] {
  return Array.isArray(outputs);
}

function referencesTo(name: string, outputs: WrittenOutputs | undefined): OutputReferences {
  if (!isList(outputs)) return outputsOf(name, outputs ?? {});
  const entries = outputs.map((output) => [
    output,
    new Reference(pathTo('steps', name, 'outputs', output)),
  ]);
  return Object.fromEntries(entries) as OutputReferences;
}

/** Artifacts take the place of a parameter as values do. */
function toParam(value: unknown): unknown {
  const isReference = value instanceof Reference || value instanceof ArtifactReference;
  return isReference ? `\${{ ${toInput(value)} }}` : value;
}
