import type { BinaryOp, Expression } from './expressions';

/** How tightly an operator binds; the parser's levels in numbers. */
const STRENGTH: Readonly<Record<BinaryOp, number>> = {
  '||': 0, '&&': 1, '==': 2, '!=': 2, '<': 2, '<=': 2, '>': 2, '>=': 2, in: 2,
  '+': 3, '-': 3, '*': 4, '/': 4,
}; // prettier-ignore
const UNARY = 5;

/** The text of an expression with as few parentheses as it needs; parsing it gives it back. */
export function printExpression(tree: Expression): string {
  return print(tree, 0);
}

function print(tree: Expression, outer: number): string {
  switch (tree.kind) {
    case 'literal':
      return JSON.stringify(tree.value); // the language reads every escape of JSON
    case 'list':
      return `[${tree.items.map((item) => print(item, 0)).join(', ')}]`;
    case 'path':
      return tree.parts
        .map((part, i) => (typeof part === 'number' ? `[${part}]` : (i === 0 ? '' : '.') + part))
        .join('');
    case 'unary':
      return `${tree.op}${print(tree.of, UNARY)}`;
    case 'binary': {
      const strength = STRENGTH[tree.op];
      // left-associative: an equal operator on the right needs its parentheses
      const text = `${print(tree.left, strength)} ${tree.op} ${print(tree.right, strength + 1)}`;
      return strength < outer ? `(${text})` : text;
    }
  }
}

/** A JSON value as an expression: lists become lists, negative numbers their negation. */
export function literal(value: unknown): Expression {
  if (Array.isArray(value)) return { kind: 'list', items: value.map(literal) };
  if (typeof value === 'number' && value < 0) {
    return { kind: 'unary', op: '-', of: { kind: 'literal', value: -value } };
  }
  return { kind: 'literal', value };
}
