import { AppError } from '../errors/app-error';
import { optionsToDocument } from './pipeline-options';
import type { StepOptions } from './pipeline-types';
import type { Reference } from './references';

/** A step as the pipeline language writes it. */
export type StepDocument = Readonly<Record<string, unknown>>;

interface Made {
  readonly document: StepDocument;
  readonly condition: Reference<boolean> | undefined;
  /** What the builder gave for it. */
  readonly outputs: object | undefined;
}

/** Steps that stand beside each other: those of the pipeline, of a sub-pipeline, or of handlers. */
export class BuilderLevel {
  /** In a sub-pipeline: the steps around it. */
  private readonly around: BuilderLevel | undefined;
  /** The variables of the foreach that these steps are repeated by. */
  private readonly items: readonly string[];
  readonly isHandler: boolean;
  private readonly made = new Map<string, Made>();
  private readonly conditions: Reference<boolean>[] = [];

  constructor(around?: BuilderLevel, of: { items?: readonly string[]; isHandler?: boolean } = {}) {
    this.around = around;
    this.items = of.items ?? [];
    this.isHandler = of.isHandler ?? false;
  }

  add(
    name: string,
    step: { readonly document: StepDocument; readonly options: StepOptions },
  ): void {
    this.put(name, { ...withoutEmpty(step.document), ...optionsToDocument(step.options) });
  }

  /** Adds a step whose document is complete, but for the conditions that stand around it. */
  put(name: string, document: StepDocument, own?: Reference<boolean>): void {
    if (this.made.has(name)) {
      throw planProblem(name, 'is there twice: give each step a name of its own.');
    }
    const all = own === undefined ? this.conditions : [...this.conditions, own];
    const condition = all.reduce<Reference<boolean> | undefined>(
      (sum, one) => sum?.and(one) ?? one,
      undefined,
    );
    this.made.set(name, { document, condition, outputs: undefined });
  }

  /** Notes what the builder gave for a step. */
  give<O extends object>(name: string, outputs: O): O {
    const made = this.made.get(name);
    if (made !== undefined) this.made.set(name, { ...made, outputs });
    return outputs;
  }

  /** Makes steps that run only if the condition holds. */
  when<R>(condition: Reference<boolean>, body: () => R): R {
    this.conditions.push(condition);
    try {
      return body();
    } finally {
      this.conditions.pop();
    }
  }

  /** The only step, if it can take over the foreach around it: no other outputs than its are given. */
  onlyStep(outputs: object | undefined): Made | undefined {
    const [only, ...more] = this.made.values();
    if (only === undefined || more.length > 0) return undefined;
    if (outputs !== undefined && only.outputs !== outputs) return undefined;
    return 'foreach' in only.document || 'steps' in only.document ? undefined : only;
  }

  get size(): number {
    return this.made.size;
  }

  /** Refuses steps with the name of one around: references to that one would mean these. */
  checkNames(): void {
    const taken = [...this.made.keys()].find((name) => this.around?.knows(name));
    if (taken !== undefined) {
      throw planProblem(taken, 'has the name of a step around it: give it another one.');
    }
  }
  private knows(name: string): boolean {
    return this.made.has(name) || this.around?.knows(name) === true;
  }

  /** True if a foreach around these steps has an item of this name. */
  hasItem(name: string): boolean {
    return this.items.includes(name) || this.around?.hasItem(name) === true;
  }

  /** The steps by name, in order. */
  get documents(): [name: string, document: StepDocument][] {
    return [...this.made].map(([name, { document, condition }]) => [
      name,
      { ...document, ...(condition !== undefined && { if: condition.expression }) },
    ]);
  }
}

/** INVALID_PLAN about one step. */
export function planProblem(step: string, message: string): AppError {
  const path = `steps.${step}`;
  return new AppError('INVALID_PLAN', `The pipeline has one problem: ${path} ${message}`, {
    problems: [{ path, message }],
  });
}

/** Without what is undefined or an empty mapping: both front ends then write the same plan. */
function withoutEmpty(document: StepDocument): StepDocument {
  const isEmpty = (value: unknown): boolean =>
    value === undefined ||
    (typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(document).filter(([, value]) => !isEmpty(value)));
}
