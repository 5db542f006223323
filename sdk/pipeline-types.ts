import type { z } from 'zod';
import type { Adopt, FailureClass, HeartbeatSource } from '../schemas/plan';
import type { ArtifactReference, OutputReferences, Reference } from './references';
import type { ItemsReference } from './references';
import type { ArtifactKind, MetricOutput } from './step';

/** What one step may set; what it leaves out comes from the language's defaults. */
export interface StepOptions {
  /** Which workers take the step; `cpu` unless told. */
  readonly pool?: string;
  /** Of one attempt: `90s`, `10m`, `6h`, `7d`; one day unless told. */
  readonly timeout?: string;
  /** Of all attempts with the delays between them; no limit unless told. */
  readonly totalTimeout?: string;
  /** From the start of the run: what is due sooner starts first. It ends nothing by itself. */
  readonly deadline?: string;
  readonly retry?: RetryOptions;
  /** From -100 to 100; higher starts first among what is ready. */
  readonly priority?: number;
  readonly env?: Readonly<Record<string, string | Reference<unknown>>>;
  /** Names of secrets; each becomes a variable of the environment. */
  readonly secrets?: readonly string[];
  /** An attempt that shows no sign of life for so long (5m unless told) has failed. */
  readonly heartbeat?: { readonly timeout?: string; readonly from?: readonly HeartbeatSource[] };
  /** Reuses the outputs of an earlier run; `key`: globs over files, and values that count too. */
  readonly cache?:
    boolean | { readonly ttl?: string; readonly key?: readonly (string | Reference<unknown>)[] };
  /** How many checkpoints are kept, and the time between SIGTERM and SIGKILL. */
  readonly checkpoint?: { readonly keep?: number; readonly grace?: string };
  /**
   * Whether an attempt goes on with the tracked runs of the one before (`auto`), makes its own (`new`), or
   * makes runs that are none of the step's (`off`).
   */
  readonly adopt?: 'auto' | Adopt;
  /** `injectRunId`: the run is made before the process begins, and is `MLFLOW_RUN_ID` there. */
  readonly mlflow?: { readonly injectRunId?: boolean };
  /** Steps that must have ended before, for side effects only: references order by themselves. */
  readonly after?: readonly string[];
}

/** Which failures are tried again, how often, and after which delays. */
export interface RetryOptions {
  readonly max?: number;
  readonly on?: readonly FailureClass[];
  /** Before the first retry; `1s` unless told. */
  readonly delay?: string;
  /** Each further delay is so many times longer; 2 unless told. */
  readonly backoff?: number;
  /** No delay is longer; `60s` unless told. */
  readonly maxDelay?: string;
}

/** What a foreach allows its items. */
export interface ForEachRules {
  /** At most so many at once. */
  readonly parallel?: number;
  /** At most so many items; 1,024 unless told, up to 10,000. */
  readonly itemsMax?: number;
  /** The share of items, from 0 to 1, that must succeed; all unless told. */
  readonly minSuccess?: number;
  /** No new item starts after so many failures alike. */
  readonly stopAfter?: number;
}

/** How a foreach goes on, and what its items are called in expressions. */
export interface ForEachOptions extends ForEachRules {
  /** The name of the item: `as: 'seed'` gives `item.seed`. `value` unless told. */
  readonly as?: string;
  /** Steps that must have ended before, for side effects only. */
  readonly after?: readonly string[];
}

/** How a model version is registered. */
export interface RegisterOptions extends StepOptions {
  /** Set to the new version. */
  readonly alias?: string;
  /** The name of the step; `register` unless told. */
  readonly step?: string;
}

/** Anything that a plain input of type T takes: the value, a reference, or a mixture of both. */
export type ValueInput<T> =
  | T
  | Reference<T>
  | (T extends readonly (infer E)[]
      ? readonly ValueInput<E>[]
      : T extends object
        ? { readonly [K in keyof T]: ValueInput<T[K]> }
        : never);

type InputOf<S> = S extends { readonly artifactKind: infer K extends ArtifactKind }
  ? ArtifactReference<K>
  : ValueInput<z.input<S & z.ZodType>>;

type OptionalKeys<In> = {
  [K in keyof In]: undefined extends z.input<In[K] & z.ZodType> ? K : never;
}[keyof In];

/** The inputs of a function step, by the zod shape of its `in`. */
export type InputsOf<In> = {
  readonly [K in Exclude<keyof In, OptionalKeys<In>>]: InputOf<In[K]>;
} & {
  readonly [K in OptionalKeys<In>]?: InputOf<In[K]>;
};

/** What a command may declare as an output: an artifact, a metric, or a value of a zod type. */
export type DeclaredOutputs = Readonly<Record<string, z.ZodType | MetricOutput>>;

/** The outputs of a step as references, by what it declared. */
export type OutputsOf<Out> = {
  readonly [K in keyof Out]: Out[K] extends { readonly artifactKind: infer K extends ArtifactKind }
    ? ArtifactReference<K>
    : Out[K] extends MetricOutput
      ? Reference<number>
      : Out[K] extends z.ZodType
        ? Reference<z.output<Out[K]>>
        : never;
};

/** What a command may take as an input. */
export type CommandInputs = Readonly<
  Record<string, ArtifactReference | Reference<unknown> | ItemsReference<unknown, OutputReferences>>
>;
type Argument = string | number | boolean | Reference<unknown>;
/** The paths of a command's inputs, for its arguments. */
export type InputPaths<I> = { readonly [K in keyof I]: { readonly path: Reference<string> } };

/** A step that is a command in any language. */
export interface Command<I extends CommandInputs, O extends DeclaredOutputs> extends StepOptions {
  /** The program and its arguments; no shell. As a function it is given the paths of the inputs. */
  readonly argv: readonly Argument[] | ((inputs: InputPaths<I>) => readonly Argument[]);
  readonly inputs?: I;
  readonly outputs?: O;
}

/** The outputs of an item that can be compared. */
export type NumberKeys<O> = {
  [K in keyof O]: O[K] extends Reference<number> ? K : never;
}[keyof O] &
  string;
