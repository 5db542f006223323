import { canonicalJson } from './canonical';
import { ExpressionError, tokenize } from './expression-tokens';
import type { Token } from './expression-tokens';

export { ExpressionError } from './expression-tokens';

/**
 * The expression language of pipelines: literals, lists, paths, comparison, arithmetic, and/or/not,
 * `in`. Small, total, without side effects; runs in the workflow isolate.
 */
export type Expression =
  | { readonly kind: 'literal'; readonly value: unknown }
  | { readonly kind: 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'path'; readonly parts: readonly (string | number)[] }
  | { readonly kind: 'unary'; readonly op: '!' | '-'; readonly of: Expression }
  | {
      readonly kind: 'binary';
      readonly op: BinaryOp;
      readonly left: Expression;
      readonly right: Expression;
    };
/** The operators between two expressions. */
export type BinaryOp =
  '||' | '&&' | '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | '+' | '-' | '*' | '/';

/** Deeper expressions belong into a step. */
const DEPTH_MAX = 50;
const CONSTANTS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['null', null],
]);

/** From the loosest to the tightest; each level is left-associative. */
const LEVELS: readonly (readonly BinaryOp[])[] = [
  ['||'],
  ['&&'],
  ['==', '!=', '<', '<=', '>', '>=', 'in'],
  ['+', '-'],
  ['*', '/'],
];

/** Parses an expression; throws ExpressionError with the column and what was expected. */
export function parseExpression(text: string): Expression {
  const parser = new Parser(tokenize(text));
  return parser.whole();
}

class Parser {
  private at = 0;
  private readonly tokens: readonly Token[];
  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  whole(): Expression {
    const tree = this.level(0, 0);
    if (this.peek().kind !== 'end') this.fail('an operator or the end');
    return tree;
  }

  private peek(): Token {
    return this.tokens[this.at] ?? { kind: 'end', text: 'the end', column: 1 };
  }

  private takeSign(...signs: readonly string[]): string | undefined {
    const token = this.peek();
    if (token.kind !== 'sign' || !signs.includes(token.text)) return undefined;
    this.at += 1;
    return token.text;
  }

  private expectSign(sign: string): void {
    if (this.takeSign(sign) === undefined) this.fail(`'${sign}'`);
  }

  private fail(expected: string): never {
    const token = this.peek();
    const found = token.kind === 'end' ? 'the end' : `'${token.text}'`;
    throw new ExpressionError(`expected ${expected}, found ${found}`, token.column);
  }

  private level(level: number, depth: number): Expression {
    if (depth > DEPTH_MAX) throw new ExpressionError('is nested too deeply', this.peek().column);
    const ops = LEVELS[level];
    if (ops === undefined) return this.unary(depth + 1);
    let left = this.level(level + 1, depth);
    for (;;) {
      const op = this.takeSign(...ops) as BinaryOp | undefined;
      if (op === undefined) return left;
      left = { kind: 'binary', op, left, right: this.level(level + 1, depth + 1) };
    }
  }

  private unary(depth: number): Expression {
    if (depth > DEPTH_MAX) throw new ExpressionError('is nested too deeply', this.peek().column);
    const op = this.takeSign('!', '-') as '!' | '-' | undefined;
    return op === undefined
      ? this.primary(depth)
      : { kind: 'unary', op, of: this.unary(depth + 1) };
  }

  private primary(depth: number): Expression {
    const token = this.peek();
    if (token.kind === 'number' || token.kind === 'string') {
      this.at += 1;
      return { kind: 'literal', value: token.kind === 'number' ? Number(token.text) : token.text };
    }
    if (token.kind === 'name') return this.path();
    if (this.takeSign('(') !== undefined) {
      const inner = this.level(0, depth + 1);
      this.expectSign(')');
      return inner;
    }
    if (this.takeSign('[') !== undefined) return this.list(depth);
    return this.fail('a value');
  }

  private list(depth: number): Expression {
    const items: Expression[] = [];
    if (this.takeSign(']') !== undefined) return { kind: 'list', items };
    do items.push(this.level(0, depth + 1));
    while (this.takeSign(',') !== undefined);
    this.expectSign(']');
    return { kind: 'list', items };
  }

  private path(): Expression {
    const first = this.peek().text;
    this.at += 1;
    if (CONSTANTS.has(first)) return { kind: 'literal', value: CONSTANTS.get(first) };
    const parts: (string | number)[] = [first];
    for (;;) {
      if (this.takeSign('.') !== undefined) parts.push(this.expectPart('name', 'a name'));
      else if (this.takeSign('[') !== undefined) {
        parts.push(Number(this.expectPart('number', 'a position')));
        this.expectSign(']');
      } else return { kind: 'path', parts };
    }
  }

  private expectPart(kind: Token['kind'], what: string): string {
    const token = this.peek();
    const word = kind === 'name' ? token.word : undefined;
    if (token.kind !== kind && word === undefined) this.fail(what);
    this.at += 1;
    return word ?? token.text;
  }
}

/** The paths that an expression reads, in order of appearance. */
export function referencesOf(tree: Expression): (readonly (string | number)[])[] {
  switch (tree.kind) {
    case 'literal':
      return [];
    case 'path':
      return [tree.parts];
    case 'list':
      return tree.items.flatMap(referencesOf);
    case 'unary':
      return referencesOf(tree.of);
    case 'binary':
      return [...referencesOf(tree.left), ...referencesOf(tree.right)];
  }
}

/** The value of an expression. A path that leads nowhere is an error, never undefined. */
export function evaluate(tree: Expression, scope: Readonly<Record<string, unknown>>): unknown {
  switch (tree.kind) {
    case 'literal':
      return tree.value;
    case 'list':
      return tree.items.map((item) => evaluate(item, scope));
    case 'path':
      return follow(tree.parts, scope);
    case 'unary': {
      const value = evaluate(tree.of, scope);
      return tree.op === '!' ? !truth(value) : -asNumber(value, tree.op);
    }
    case 'binary':
      return evaluateBinary(tree, scope);
  }
}

function follow(
  parts: readonly (string | number)[],
  scope: Readonly<Record<string, unknown>>,
): unknown {
  let value: unknown = scope;
  for (const [i, part] of parts.entries()) {
    const inside = value !== null && typeof value === 'object' && Object.hasOwn(value, part);
    if (!inside) throw new ExpressionError(`'${parts.slice(0, i + 1).join('.')}' has no value`, 1);
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

function evaluateBinary(
  tree: Extract<Expression, { kind: 'binary' }>,
  scope: Readonly<Record<string, unknown>>,
): unknown {
  const left = evaluate(tree.left, scope);
  if (tree.op === '&&') return truth(left) && truth(evaluate(tree.right, scope));
  if (tree.op === '||') return truth(left) || truth(evaluate(tree.right, scope));
  const right = evaluate(tree.right, scope);
  switch (tree.op) {
    case '==':
      return same(left, right);
    case '!=':
      return !same(left, right);
    case 'in':
      if (!Array.isArray(right)) throw new ExpressionError("the right side of 'in' is no list", 1);
      return right.some((item) => same(item, left));
    case '<':
    case '<=':
    case '>':
    case '>=':
      return compare(tree.op, left, right);
    case '+':
    case '-':
    case '*':
    case '/':
      return calculate(tree.op, left, right);
  }
}

function compare(op: '<' | '<=' | '>' | '>=', left: unknown, right: unknown): boolean {
  const bothText = typeof left === 'string' && typeof right === 'string';
  const a = bothText ? left : asNumber(left, op);
  const b = bothText ? right : asNumber(right, op);
  if (op === '<') return a < b;
  if (op === '<=') return a <= b;
  return op === '>' ? a > b : a >= b;
}

function calculate(op: '+' | '-' | '*' | '/', left: unknown, right: unknown): unknown {
  if (op === '+' && typeof left === 'string' && typeof right === 'string') return left + right;
  const a = asNumber(left, op);
  const b = asNumber(right, op);
  if (op === '/' && b === 0) throw new ExpressionError('division by zero', 1);
  const value = { '+': a + b, '-': a - b, '*': a * b, '/': a / b }[op];
  // what is not finite cannot be kept as JSON
  if (!Number.isFinite(value)) throw new ExpressionError(`'${op}' gives no finite number`, 1);
  return value;
}

function truth(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw new ExpressionError(`expected true or false, found ${JSON.stringify(value)}`, 1);
}
function asNumber(value: unknown, op: string): number {
  if (typeof value === 'number') return value;
  throw new ExpressionError(`'${op}' needs numbers, found ${JSON.stringify(value)}`, 1);
}
function same(left: unknown, right: unknown): boolean {
  return left === right || canonicalJson(left) === canonicalJson(right);
}
