import type { z } from 'zod';
import { literal } from '../dag/expression-text';
import { BuilderLevel, planProblem } from './builder-level';
import type { StepDocument } from './builder-level';
import type {
  Command, CommandInputs, DeclaredOutputs, ForEachOptions, InputsOf, NumberKeys, OutputsOf,
  RegisterOptions, StepOptions,
} from './pipeline-types'; // prettier-ignore
import { rulesToDocument } from './pipeline-options';
import {
  mapEntries, outputsOf, outputToDocument, pathsOf, referencesAt, toInput, toTemplate,
} from './pipeline-values'; // prettier-ignore
import { writtenStep } from './written-pipelines';
import type { WrittenOptions, WrittenOutputs, WrittenReferences } from './written-pipelines';
import { ArtifactReference, ItemsReference, pathTo, Reference } from './references';
import type { OutputReferences } from './references';
import type { FunctionStep } from './step';

type Shape = z.ZodRawShape;

type List<T> = Reference<T[]> | readonly T[];
type Lists<T> = { readonly [K in keyof T]: List<T[K]> };
type Items<T> = { readonly [K in keyof T]: Reference<T[K]> };

/** How the steps of a run have ended, for its handlers. */
export interface RunReferences {
  readonly status: Reference<'succeeded' | 'failed' | 'cancelled'>;
  /** What failed first and why; empty if nothing did. */
  readonly reason: Reference<string>;
}

/** Collects the steps of one pipeline; what the callback of `pipeline()` calls `s`. */
export class PipelineBuilder {
  private readonly usesOf: (step: object, name: string) => string;
  private readonly handlers = new Map<string, BuilderLevel>();
  private readonly root = new BuilderLevel();
  private level = this.root;

  constructor(usesOf: (step: object, name: string) => string) {
    this.usesOf = usesOf;
  }

  /** The steps and handlers as the pipeline language writes them. */
  get document(): StepDocument {
    const lists = [...this.handlers].map(([key, level]): [string, unknown] => [
      key,
      level.documents.map(([name, document]) => ({ name, ...document })),
    ]);
    return { steps: Object.fromEntries(this.root.documents), ...Object.fromEntries(lists) };
  }

  /** Runs a function step; gives its outputs as references. */
  run<In extends Shape, Out extends Shape>(
    name: string,
    definition: FunctionStep<In, Out>,
    ...[inputs, options = {}]: [inputs: InputsOf<In>, options?: StepOptions]
  ): OutputsOf<Out> {
    const given = Object.entries<unknown>(inputs).filter(([, value]) => value !== undefined);
    const isInput = ([, value]: [string, unknown]): boolean =>
      value instanceof ArtifactReference || value instanceof ItemsReference;
    this.add(name, options, {
      uses: this.usesOf(definition, name),
      with: Object.fromEntries(
        given.filter((entry) => !isInput(entry)).map(([k, v]) => [k, toTemplate(v)]),
      ),
      inputs: Object.fromEntries(given.filter(isInput).map(([k, v]) => [k, toInput(v)])),
      outputs: mapEntries(definition.out.shape, outputToDocument),
    });
    return this.level.give(name, outputsOf(name, definition.out.shape));
  }

  /** Runs a command; gives its outputs as references. */
  command<I extends CommandInputs = CommandInputs, O extends DeclaredOutputs = DeclaredOutputs>(
    name: string,
    command: Command<I, O>,
  ): OutputsOf<O> {
    const { argv, inputs, outputs, ...options } = command;
    const list = typeof argv === 'function' ? argv(pathsOf(inputs)) : argv;
    this.add(name, options, {
      argv: list.map(String),
      inputs: mapEntries(inputs ?? {}, toInput),
      outputs: mapEntries(outputs ?? {}, outputToDocument),
    });
    return this.level.give(name, outputsOf(name, (outputs ?? {}) as O));
  }

  /**
   * Repeats what the body makes, once per item; of several lists once per combination. One step takes
   * this name itself; several become a sub-pipeline, whose outputs are what the body returns.
   */
  forEach<T, I extends OutputReferences, O extends OutputReferences>(
    name: string,
    list: ItemsReference<T, I>,
    ...[body, options]: [
      body: (item: I & { readonly item: Reference<Record<string, T>> }) => O | undefined,
      options?: ForEachOptions,
    ]
  ): ItemsReference<unknown, O>;
  forEach<T, O extends OutputReferences>(
    name: string,
    list: List<T>,
    ...[body, options]: [body: (item: Reference<T>) => O | undefined, options?: ForEachOptions]
  ): ItemsReference<T, O>;
  forEach<T extends object, O extends OutputReferences>(
    name: string,
    lists: Lists<T>,
    ...[body, options]: [
      body: (items: Items<T>) => O | undefined,
      options?: Omit<ForEachOptions, 'as'>,
    ]
  ): ItemsReference<T[keyof T], O>;
  forEach(
    name: string,
    list: List<unknown> | Lists<object>,
    ...[body, options = {}]: [
      body: (item: never) => OutputReferences | undefined,
      options?: ForEachOptions,
    ]
  ): ItemsReference<unknown, OutputReferences> {
    const { as = 'value', after, ...rules } = options;
    const isOne = list instanceof Reference || Array.isArray(list);
    const lists: Readonly<Record<string, unknown>> = isOne
      ? { [as]: list }
      : (list as Lists<Record<string, unknown>>);
    const items = Object.keys(lists);
    const references = mapEntries(lists, (of, key) => itemOf(of, pathTo('item', key)));
    const item = (isOne ? references[as] : references) as never;
    const foreach = mapEntries(lists, expressionOf);
    const around = { foreach, ...rulesToDocument(rules), ...(after && { after }) };
    const outputs = this.inside(name, { items, around, body: () => body(item) });
    return new ItemsReference(name, outputs);
  }

  /** A sub-pipeline: its steps begin and are skipped together; its outputs are what the body returns. */
  group<O extends OutputReferences>(
    name: string,
    body: () => O | undefined,
    options: Pick<StepOptions, 'after'> = {},
  ): O {
    const around = { ...(options.after && { after: options.after }) };
    const outputs = this.inside(name, { items: [], around, body });
    return this.level.give(name, referencesAt(pathTo('steps', name, 'outputs'), outputs)) as O;
  }

  /** Runs a pipeline that a step has written, as a sub-pipeline; gives its outputs as references. */
  dynamic<const O extends WrittenOutputs = Readonly<Record<string, never>>>(
    name: string,
    file: ArtifactReference<'pipeline'>,
    options: WrittenOptions<O> = {},
  ): WrittenReferences<O> {
    const written = writtenStep(name, file, options);
    this.add(name, {}, written.document);
    return written.outputs;
  }

  /**
   * Makes steps that run only if the condition holds, and others that run if it does not; what does
   * not run is skipped, with all that depends on it alone.
   */
  when<R>(condition: Reference<boolean>, body: () => R, otherwise?: () => unknown): R {
    const result = this.level.when(condition, body);
    if (otherwise !== undefined) this.level.when(condition.not(), otherwise);
    return result;
  }

  /** Makes steps that run, one after the other, when all others have ended and none has failed. */
  onSuccess(body: (run: RunReferences) => void): void {
    this.handle('on_success', body);
  }
  /** Makes steps that run, one after the other, when all others have ended and one has failed. */
  onFailure(body: (run: RunReferences) => void): void {
    this.handle('on_failure', body);
  }
  /** Makes steps that run at the end of every run, behind all others, also after a cancel. */
  always(body: (run: RunReferences) => void): void {
    this.handle('always', body);
  }

  /** Sends a message to a url, or only to the log; the built-in says how the run ended unless told. */
  notify(
    name: string,
    what: {
      readonly url?: string | Reference<string>;
      readonly message?: string | Reference<string>;
    } = {},
    options: StepOptions = {},
  ): void {
    const given = Object.entries(what).map(([key, value]) => [key, toTemplate(value)]);
    this.add(name, options, { uses: 'builtin/notify', with: Object.fromEntries(given) });
  }

  /** Chooses the item with the best value: its outputs, and the `item` itself. */
  best<T, O extends OutputReferences>(
    name: string,
    runs: ItemsReference<T, O>,
    ...[choice, options = {}]: [
      choice: { readonly by: NumberKeys<O>; readonly mode?: 'max' | 'min' },
      options?: StepOptions,
    ]
  ): O & { readonly item: Reference<Record<string, T>> } {
    this.add(name, options, {
      uses: 'builtin/best',
      inputs: { runs: runs.expression },
      with: { by: choice.by, mode: choice.mode ?? 'max' },
    });
    const path = pathTo('steps', name, 'outputs');
    const item = new Reference<Record<string, T>>(pathTo('steps', name, 'outputs', 'item'));
    return this.level.give(name, { ...(referencesAt(path, runs.outputs) as O), item });
  }

  /** Registers a model as the next version of a registered model, and may set an alias to it. */
  registerModel(
    model: string | Reference<string>,
    artifact: ArtifactReference<'model'>,
    options: RegisterOptions = {},
  ): { readonly version: Reference<number> } {
    const { alias, step = 'register', ...rest } = options;
    this.add(step, rest, {
      uses: 'builtin/register-model',
      inputs: { model: artifact.expression },
      with: { name: toTemplate(model), ...(alias !== undefined && { alias }) },
    });
    const version = new Reference<number>(pathTo('steps', step, 'outputs', 'version'));
    return this.level.give(step, { version });
  }

  private add(name: string, options: StepOptions, document: StepDocument): void {
    this.level.add(name, { document, options });
  }

  /** Makes the steps of a sub-pipeline; a single step of a foreach takes its place instead. */
  private inside(
    name: string,
    part: {
      readonly items: readonly string[];
      readonly around: StepDocument;
      readonly body: () => OutputReferences | undefined;
    },
  ): OutputReferences {
    const outer = this.level;
    if (outer.isHandler) throw planProblem(name, 'stands in a handler, which runs single steps.');
    const taken = part.items.find((item) => outer.hasItem(item));
    if (taken !== undefined) {
      const hint = "give it another 'as'";
      throw planProblem(name, `has an item '${taken}', as a forEach around it: ${hint}.`);
    }
    const level = new BuilderLevel(outer, { items: part.items });
    this.level = level;
    try {
      const given = part.body();
      if (level.size === 0) throw planProblem(name, 'makes no step.');
      this.level = outer;
      const only = part.items.length > 0 ? level.onlyStep(given) : undefined;
      const outputs = given ?? {};
      if (only === undefined) {
        level.checkNames();
        const own = mapEntries(outputs, toInput);
        const outputsOrNone = Object.keys(own).length > 0 ? { outputs: own } : {};
        const steps = Object.fromEntries(level.documents);
        outer.put(name, { ...part.around, steps, ...outputsOrNone });
      } else {
        const after = [only.document['after'] ?? [], part.around['after'] ?? []].flat();
        const both = after.length > 0 ? { after } : {};
        outer.put(name, { ...only.document, ...part.around, ...both }, only.condition);
      }
      return outputs;
    } finally {
      this.level = outer;
    }
  }

  private handle(key: string, body: (run: RunReferences) => void): void {
    const outer = this.level;
    if (outer !== this.root) throw planProblem(key, 'stands inside a step: write it beside them.');
    this.level = this.handlers.get(key) ?? new BuilderLevel(undefined, { isHandler: true });
    this.handlers.set(key, this.level);
    try {
      const status = new Reference<'succeeded' | 'failed' | 'cancelled'>(pathTo('run', 'status'));
      body({ status, reason: new Reference(pathTo('run', 'reason')) });
    } finally {
      this.level = outer;
    }
  }
}

function expressionOf(list: unknown): string {
  return new Reference(list instanceof Reference ? list.tree : literal(list)).expression;
}

/** One item of a list; of the outputs of a foreach, its outputs. */
function itemOf(list: unknown, path: ReturnType<typeof pathTo>): unknown {
  if (!(list instanceof ItemsReference)) return new Reference(path);
  const outputs = referencesAt(path, list.outputs as OutputReferences);
  return { ...outputs, item: new Reference(pathTo(...path.parts.map(String), 'item')) };
}
