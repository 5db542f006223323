import { z } from 'zod';
import type { ArtifactKind } from '../schemas/plan';

export type { ArtifactKind };

/** A zod string that stands for an artifact: inside a step it is the path of a file or folder. */
export type ArtifactSchema<K extends ArtifactKind = ArtifactKind> = z.ZodString & {
  readonly artifactKind: K;
  readonly artifactPath: string | undefined;
};

/**
 * Declares an artifact among a step's inputs or outputs. `path` is where a command leaves it, relative
 * to its working folder; without it the step writes to `ANNEAL_OUTPUT_DIR/<output name>`.
 */
export function artifact<const K extends ArtifactKind>(
  kind: K,
  options: { readonly path?: string } = {},
): ArtifactSchema<K> {
  return Object.assign(z.string(), { artifactKind: kind, artifactPath: options.path });
}

/** A metric of the step's tracked run as an output. */
export interface MetricOutput {
  readonly metric: string;
  readonly pick: 'last' | 'min' | 'max';
}

/** Declares that an output is a metric of the step's tracked run; the last point unless told. */
export function metric(
  key: string,
  options: { readonly pick?: MetricOutput['pick'] } = {},
): MetricOutput {
  return { metric: key, pick: options.pick ?? 'last' };
}

/** What a function step may use while it runs. */
export interface StepContext {
  /** Logs metrics to the step's tracked run at a step number; resolves when they are kept. */
  log(metrics: Readonly<Record<string, number>>, step?: number): Promise<void>;
  /** Tells how far the step is, from 0 to 1, for whoever watches. */
  progress(fraction: number, message?: string): void;
  /** Shows a card under a name while the step runs and after: Markdown (a text) or JSON (an object). */
  card(name: string, content: string | object): void;
  /** The path under which a declared artifact must be written; a file or a folder. */
  output(name: string): string;
  /** Write checkpoints here: complete when renamed into place. */
  readonly checkpointDir: string;
  /** The restored checkpoint's path, or undefined on a fresh start. */
  readonly resumeFrom: string | undefined;
  /** Aborted when the step must stop: preemption, cancel, timeout. */
  readonly signal: AbortSignal;
}

type Shape = z.ZodRawShape;

/** A step that is a TypeScript function: zod in, zod out. */
export interface FunctionStep<In extends Shape, Out extends Shape> {
  readonly in: z.ZodObject<In>;
  readonly out: z.ZodObject<Out>;
  run(
    input: z.output<z.ZodObject<In>>,
    ctx: StepContext,
  ): z.input<z.ZodObject<Out>> | Promise<z.input<z.ZodObject<Out>>>;
}

/** Marks function steps across copies of this module (bundles, test realms). */
const STEP = 'anneal.step';

/** Declares a function step. Export it from the file that defines it: it runs by file and name. */
export function step<In extends Shape, Out extends Shape>(
  definition: FunctionStep<In, Out>,
): FunctionStep<In, Out> {
  return Object.assign({ kind: STEP }, definition);
}

/** True for what `step()` made. */
export function isFunctionStep(value: unknown): value is FunctionStep<Shape, Shape> {
  return value !== null && typeof value === 'object' && 'kind' in value && value.kind === STEP;
}

/** The artifact kind of a schema, or undefined if it stands for a plain value. */
export function artifactKindOf(schema: unknown): ArtifactKind | undefined {
  const isArtifact = schema !== null && typeof schema === 'object' && 'artifactKind' in schema;
  return isArtifact ? (schema.artifactKind as ArtifactKind) : undefined;
}
