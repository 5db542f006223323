import { literal, printExpression } from '../dag/expression-text';
import type { BinaryOp, Expression } from '../dag/expressions';
import type { ArtifactKind } from './step';

/** A value, or the reference to one that is known only when the run goes on. */
export type Operand<T> = T | Reference<T>;

/** A value of a run: a parameter, an item, an output. It becomes an expression of the plan. */
export class Reference<T> {
  /** Only for the compiler: what the value will be. */
  declare readonly valueType: T;
  readonly tree: Expression;
  constructor(tree: Expression) {
    this.tree = tree;
  }

  /** The reference as the pipeline language writes it. */
  get expression(): string {
    return printExpression(this.tree);
  }
  /** Makes `--lr=${p.lr}` work inside an argument. */
  toString(): string {
    return `\${{ ${this.expression} }}`;
  }

  eq(other: Operand<T>): Reference<boolean> {
    return this.with('==', other);
  }
  ne(other: Operand<T>): Reference<boolean> {
    return this.with('!=', other);
  }
  gt(this: Reference<number>, other: Operand<number>): Reference<boolean> {
    return this.with('>', other);
  }
  gte(this: Reference<number>, other: Operand<number>): Reference<boolean> {
    return this.with('>=', other);
  }
  lt(this: Reference<number>, other: Operand<number>): Reference<boolean> {
    return this.with('<', other);
  }
  lte(this: Reference<number>, other: Operand<number>): Reference<boolean> {
    return this.with('<=', other);
  }
  plus(this: Reference<number>, other: Operand<number>): Reference<number> {
    return this.with('+', other);
  }
  minus(this: Reference<number>, other: Operand<number>): Reference<number> {
    return this.with('-', other);
  }
  times(this: Reference<number>, other: Operand<number>): Reference<number> {
    return this.with('*', other);
  }
  dividedBy(this: Reference<number>, other: Operand<number>): Reference<number> {
    return this.with('/', other);
  }
  and(this: Reference<boolean>, other: Reference<boolean>): Reference<boolean> {
    return this.with('&&', other);
  }
  or(this: Reference<boolean>, other: Reference<boolean>): Reference<boolean> {
    return this.with('||', other);
  }
  not(this: Reference<boolean>): Reference<boolean> {
    return new Reference({ kind: 'unary', op: '!', of: this.tree });
  }
  isIn(list: Operand<readonly T[]>): Reference<boolean> {
    return this.with('in', list);
  }

  private with<R>(op: BinaryOp, other: unknown): Reference<R> {
    const right = other instanceof Reference ? other.tree : literal(other);
    return new Reference({ kind: 'binary', op, left: this.tree, right });
  }
}

/** An artifact that a step leaves behind; only an input of the same kind takes it. */
export class ArtifactReference<K extends ArtifactKind = ArtifactKind> {
  readonly kind: K;
  readonly expression: string;
  constructor(kind: K, expression: string) {
    this.kind = kind;
    this.expression = expression;
  }
}

/** The outputs of a step as references. */
export type OutputReferences = Readonly<Record<string, Reference<unknown> | ArtifactReference>>;

/** What an item's outputs look like inside a step: values, and paths of artifacts. */
type ItemOutputs<O> = {
  -readonly [K in keyof O]: O[K] extends Reference<infer T> ? T : string;
};

/** The outputs of a foreach step: one entry per item, in the order of the list. */
export class ItemsReference<T, O extends OutputReferences> extends Reference<
  (ItemOutputs<O> & { index: number; item: Record<string, T> })[]
> {
  /** The outputs of one item; only their names and kinds count. */
  readonly outputs: O;
  constructor(step: string, outputs: O) {
    super(pathTo('steps', step, 'outputs'));
    this.outputs = outputs;
  }
}

export type PathExpression = Extract<Expression, { readonly kind: 'path' }>;
/** The expression of a path such as `steps.train.outputs.model`. */
export function pathTo(...parts: readonly string[]): PathExpression {
  return { kind: 'path', parts };
}
