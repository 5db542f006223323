import { AppError } from '../errors/app-error';
import type { z } from 'zod';
import { literal } from '../dag/expression-text';
import type {
  Command, CommandInputs, DeclaredOutputs, ForEachRules, InputsOf, NumberKeys, OutputsOf,
  StepOptions,
} from './pipeline-types'; // prettier-ignore
import { optionsToDocument, rulesToDocument } from './pipeline-options';
import {
  mapEntries,
  outputsOf,
  outputToDocument,
  pathsOf,
  toInput,
  toTemplate,
} from './pipeline-values';
import { ArtifactReference, ItemsReference, pathTo, Reference } from './references';
import type { OutputReferences } from './references';
import type { FunctionStep } from './step';

type Shape = z.ZodRawShape;
/** A step as the pipeline language writes it. */
export type StepDocument = Record<string, unknown>;

/** How a foreach goes on, and what its items are called in expressions. */
export interface ForEachOptions extends ForEachRules {
  /** The name of the item: `as: 'seed'` gives `item.seed`. `value` unless told. */
  readonly as?: string;
}

/** How a model version is registered. */
export interface RegisterOptions extends StepOptions {
  /** Set to the new version. */
  readonly alias?: string;
  /** The name of the step; `register` unless told. */
  readonly step?: string;
}

interface Loop {
  readonly name: string;
  readonly document: StepDocument;
  made: number;
}

/** Collects the steps of one pipeline; what the callback of `pipeline()` calls `s`. */
export class PipelineBuilder {
  /** The steps so far, by name, in order. */
  readonly steps = new Map<string, StepDocument>();
  private readonly usesOf: (step: object, name: string) => string;
  private readonly conditions: Reference<boolean>[] = [];
  private loop: Loop | undefined;

  constructor(usesOf: (step: object, name: string) => string) {
    this.usesOf = usesOf;
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
    const key = this.add(name, options, {
      uses: this.usesOf(definition, name),
      with: Object.fromEntries(
        given.filter((entry) => !isInput(entry)).map(([k, v]) => [k, toTemplate(v)]),
      ),
      inputs: Object.fromEntries(given.filter(isInput).map(([k, v]) => [k, toInput(v)])),
      outputs: mapEntries(definition.out.shape, outputToDocument),
    });
    return outputsOf(key, definition.out.shape);
  }

  /** Runs a command; gives its outputs as references. */
  command<I extends CommandInputs = CommandInputs, O extends DeclaredOutputs = DeclaredOutputs>(
    name: string,
    command: Command<I, O>,
  ): OutputsOf<O> {
    const { argv, inputs, outputs, ...options } = command;
    const list = typeof argv === 'function' ? argv(pathsOf(inputs)) : argv;
    const key = this.add(name, options, {
      argv: list.map(String),
      inputs: mapEntries(inputs ?? {}, toInput),
      outputs: mapEntries(outputs ?? {}, outputToDocument),
    });
    return outputsOf(key, (outputs ?? {}) as O);
  }

  /** Runs one step per item of a list; the step takes this name. Gives all their outputs. */
  forEach<T, O extends OutputReferences>(
    name: string,
    list: Reference<T[]> | readonly T[],
    ...[body, options = {}]: [body: (item: Reference<T>) => O, options?: ForEachOptions]
  ): ItemsReference<T, O> {
    if (this.loop !== undefined) throw problem(name, 'stands inside another forEach.');
    const { as = 'value', ...rules } = options;
    const text = new Reference(list instanceof Reference ? list.tree : literal(list)).expression;
    const document = { foreach: { [as]: text }, ...rulesToDocument(rules) };
    const loop: Loop = { name, document, made: 0 };
    this.loop = loop;
    try {
      const outputs = body(new Reference(pathTo('item', as)));
      if (loop.made !== 1) throw problem(name, `must make one step per item, not ${loop.made}.`);
      return new ItemsReference(name, outputs);
    } finally {
      this.loop = undefined;
    }
  }

  /** Makes steps that run only if the condition holds; otherwise they are skipped. */
  when<R>(condition: Reference<boolean>, body: () => R): R {
    this.conditions.push(condition);
    try {
      return body();
    } finally {
      this.conditions.pop();
    }
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
    const key = this.add(name, options, {
      uses: 'builtin/best',
      inputs: { runs: runs.expression },
      with: { by: choice.by, mode: choice.mode ?? 'max' },
    });
    const outputs = Object.entries(runs.outputs).map(([output, of]) => {
      const path = pathTo('steps', key, 'outputs', output);
      const isArtifact = of instanceof ArtifactReference;
      const reference = new Reference(path);
      return [
        output,
        isArtifact ? new ArtifactReference(of.kind, reference.expression) : reference,
      ];
    });
    const item = new Reference<Record<string, T>>(pathTo('steps', key, 'outputs', 'item'));
    return { ...(Object.fromEntries(outputs) as O), item };
  }

  /** Registers a model as the next version of a registered model, and may set an alias to it. */
  registerModel(
    model: string | Reference<string>,
    artifact: ArtifactReference<'model'>,
    options: RegisterOptions = {},
  ): { readonly version: Reference<number> } {
    const { alias, step = 'register', ...rest } = options;
    const key = this.add(step, rest, {
      uses: 'builtin/register-model',
      inputs: { model: artifact.expression },
      with: { name: toTemplate(model), ...(alias !== undefined && { alias }) },
    });
    return { version: new Reference(pathTo('steps', key, 'outputs', 'version')) };
  }

  /** Keeps a step under its name, or under the name of the forEach around it. */
  private add(name: string, options: StepOptions, document: StepDocument): string {
    const key = this.loop?.name ?? name;
    if (this.loop !== undefined) this.loop.made += 1;
    if (this.steps.has(key)) {
      const hint = key === name ? '' : ` A forEach makes one step per item; '${name}' is one more.`;
      throw problem(key, `is there twice: give each step a name of its own.${hint}`);
    }
    const condition = this.conditions.reduce<Reference<boolean> | undefined>(
      (all, one) => all?.and(one) ?? one,
      undefined,
    );
    this.steps.set(key, {
      ...withoutEmpty(document),
      ...this.loop?.document,
      ...(condition !== undefined && { if: condition.expression }),
      ...optionsToDocument(options),
    });
    return key;
  }
}

function problem(step: string, message: string): AppError {
  const path = `steps.${step}`;
  const problems = [{ path, message }];
  return new AppError('INVALID_PLAN', `The pipeline has one problem: ${path} ${message}`, {
    problems,
  });
}

/** Without what is undefined or an empty mapping: both front ends then write the same plan. */
function withoutEmpty(document: StepDocument): StepDocument {
  const isEmpty = (value: unknown): boolean =>
    value === undefined ||
    (typeof value === 'object' && value !== null && !Array.isArray(value) && isBare(value));
  return Object.fromEntries(Object.entries(document).filter(([, value]) => !isEmpty(value)));
}

function isBare(value: object): boolean {
  return Object.keys(value).length === 0;
}
