import type { z } from 'zod';
import { AppError } from '../errors/app-error';
import type { Plan } from '../schemas/plan';
import { PipelineBuilder } from './pipeline-builder';
import { compileDocument } from './pipeline-document';
import type { CompiledPipeline } from './pipeline-document';
import { onToDocument } from './trigger-options';
import type { OnOptions } from './trigger-options';
import { mapEntries, toInput } from './pipeline-values';
import { pathTo, Reference } from './references';
import type { OutputReferences } from './references';
import { paramsToDocument } from './zod-params';

/** The parameters of a pipeline as references. */
export type ParamReferences<P extends z.ZodRawShape> = {
  readonly [K in keyof P]: Reference<z.output<z.ZodObject<P>>[K & keyof z.output<z.ZodObject<P>>]>;
};

/** What a pipeline has besides its steps. */
export interface PipelineOptions<P extends z.ZodRawShape> {
  readonly params?: z.ZodObject<P>;
  /** What starts runs of it once it is deployed: `anneal pipeline deploy`. */
  readonly on?: OnOptions;
}

/** Where function steps are defined: the step → `./file.ts#export`. */
export type StepNames = ReadonlyMap<object, string>;

/** Marks pipelines across copies of this module (bundles, test realms). */
const PIPELINE = 'anneal.pipeline';

/** A pipeline written in TypeScript; `loadPipeline` compiles it. */
export interface Pipeline {
  readonly kind: typeof PIPELINE;
  readonly name: string;
  /** The canonical plan; throws INVALID_PLAN with every problem. */
  compile(names?: StepNames): Plan;
  /** As compile, with what starts runs of the pipeline once it is deployed. */
  compileFile(names?: StepNames): CompiledPipeline;
}

/**
 * Declares a pipeline: the default export of its file. `build` is called when the pipeline is compiled;
 * it is given the parameters and the builder, both as references to what the run will have, and may
 * return what the pipeline gives to a step of another one that runs it.
 */
export function pipeline<P extends z.ZodRawShape>(
  name: string,
  options: PipelineOptions<P>,
  build: (params: ParamReferences<P>, builder: PipelineBuilder) => OutputReferences | undefined,
): Pipeline {
  const compileFile = (names: StepNames = new Map()): CompiledPipeline => {
    const { params, on } = options;
    const keys = Object.keys(params?.shape ?? {});
    const references = keys.map((key) => [key, new Reference(pathTo('params', key))]);
    const builder = new PipelineBuilder((step, stepName) => usesOf(names, step, stepName));
    const outputs = build(Object.fromEntries(references) as ParamReferences<P>, builder);
    return compileDocument({
      version: 1,
      name,
      ...(on !== undefined && { on: onToDocument(on) }),
      params: params === undefined ? {} : paramsToDocument(params),
      ...builder.document,
      ...(outputs !== undefined && { outputs: mapEntries(outputs, toInput) }),
    });
  };
  return { kind: PIPELINE, name, compile: (names) => compileFile(names).plan, compileFile };
}

/** True for what `pipeline()` made. */
export function isPipeline(value: unknown): value is Pipeline {
  return value !== null && typeof value === 'object' && 'kind' in value && value.kind === PIPELINE;
}

function usesOf(names: StepNames, step: object, stepName: string): string {
  const uses = names.get(step);
  if (uses !== undefined) return uses;
  const message = `The function of step '${stepName}' has no name: export it from the file that defines it.`;
  throw new AppError('INVALID_PLAN', message, {
    problems: [{ path: `steps.${stepName}`, message }],
  });
}
