/** Longer expressions belong into a step. */
const LENGTH_MAX = 1_000;

/** A mistake in an expression; `column` counts from 1. */
export class ExpressionError extends Error {
  readonly column: number;
  constructor(message: string, column: number) {
    super(message);
    this.name = 'ExpressionError';
    this.column = column;
  }
}

/** A word, number, string or sign of an expression; `text` of a string is its value. */
export interface Token {
  readonly kind: 'number' | 'string' | 'name' | 'sign' | 'end';
  readonly text: string;
  /** For `and`, `or`, `not`, `in`: the word itself, since it is an ordinary name behind a dot. */
  readonly word?: string;
  readonly column: number;
}

const TOKEN =
  /\s*(?:(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([A-Za-z_][\w-]*)|(==|!=|<=|>=|&&|\|\||[<>+\-*/!()[\].,]))/sy;
const BLANKS = /\s*/y;
const WORDS: ReadonlyMap<string, string> = new Map([
  ['and', '&&'],
  ['or', '||'],
  ['not', '!'],
  ['in', 'in'],
]);
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['t', '\t'],
  ['r', '\r'],
  ['"', '"'],
  ["'", "'"],
  ['\\', '\\'],
  ['/', '/'],
]);

/** The tokens of an expression, closed by one of kind `end`; throws ExpressionError. */
export function tokenize(text: string): Token[] {
  if (text.length > LENGTH_MAX) {
    throw new ExpressionError(`is longer than ${LENGTH_MAX} characters`, LENGTH_MAX);
  }
  const tokens: Token[] = [];
  let at = 0;
  for (;;) {
    BLANKS.lastIndex = at;
    BLANKS.test(text);
    at = BLANKS.lastIndex;
    if (at === text.length) break;
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    const column = at + 1;
    if (match === null) throw new ExpressionError(unexpected(text[column - 1] ?? ''), column);
    tokens.push(toToken(match, column));
    at = TOKEN.lastIndex;
  }
  tokens.push({ kind: 'end', text: 'the end', column: text.length + 1 });
  return tokens;
}

function unexpected(sign: string): string {
  if (sign === '"' || sign === "'") return `the string is never closed by ${sign}`;
  return sign === '=' ? "expected '==', found '='" : `'${sign}' is not expected here`;
}

function toToken(match: RegExpExecArray, column: number): Token {
  const [, number, double, single, name, sign] = match;
  if (number !== undefined) return { kind: 'number', text: number, column };
  const string = double ?? single;
  if (string !== undefined) return { kind: 'string', text: unescape(string, column), column };
  if (name === undefined) return { kind: 'sign', text: sign ?? '', column };
  const asSign = WORDS.get(name);
  return asSign === undefined
    ? { kind: 'name', text: name, column }
    : { kind: 'sign', text: asSign, word: name, column };
}

function unescape(text: string, column: number): string {
  return text.replace(/\\(u[0-9a-fA-F]{4}|.)/gs, (all, escape: string) => {
    if (escape.length === 5) return String.fromCharCode(parseInt(escape.slice(1), 16));
    const value = ESCAPES.get(escape);
    if (value === undefined) throw new ExpressionError(`'${all}' is not an escape`, column);
    return value;
  });
}
