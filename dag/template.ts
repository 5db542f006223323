import { evaluate, ExpressionError, parseExpression } from './expressions';
import type { Expression } from './expressions';

/** Free text with `${{ expression }}` in it, taken apart. */
export type Template = readonly (string | Expression)[];

/** A piece of a free text: as written, or the source of one expression (without the braces). */
export interface Piece {
  readonly text: string;
  readonly isExpression: boolean;
  /** Where `text` begins in the whole text. */
  readonly at: number;
}

/** Cuts a text at its `${{ … }}`; throws ExpressionError if one is never closed. */
export function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (;;) {
    const open = text.indexOf('${{', at);
    if (open < 0) break;
    const close = closeOf(text, open + 3);
    if (close < 0) throw new ExpressionError("'${{' is never closed by '}}'", open + 1);
    if (open > at) pieces.push({ text: text.slice(at, open), isExpression: false, at });
    pieces.push({ text: text.slice(open + 3, close), isExpression: true, at: open + 3 });
    at = close + 2;
  }
  if (at < text.length) pieces.push({ text: text.slice(at), isExpression: false, at });
  return pieces;
}

/** Where the next `}}` outside of an expression's own quotes begins, or -1. */
function closeOf(text: string, from: number): number {
  let quote = '';
  for (let i = from; i < text.length; i += 1) {
    const sign = text[i] ?? '';
    if (quote !== '') {
      if (sign === '\\') i += 1;
      else if (sign === quote) quote = '';
    } else if (sign === '"' || sign === "'") quote = sign;
    else if (sign === '}' && text[i + 1] === '}') return i;
  }
  return -1;
}

/** Takes a text apart; throws ExpressionError with the column inside the text. */
export function parseTemplate(text: string): Template {
  return piecesOf(text).map((piece) =>
    piece.isExpression ? parseInner(piece.text, piece.at) : piece.text,
  );
}

function parseInner(text: string, offset: number): Expression {
  try {
    return parseExpression(text);
  } catch (error) {
    if (error instanceof ExpressionError) {
      throw new ExpressionError(error.message, error.column + offset);
    }
    throw error;
  }
}

type Scope = Readonly<Record<string, unknown>>;

/** The text with every value in place; lists and objects as JSON. */
export function renderText(text: string, scope: Scope): string {
  return parseTemplate(text)
    .map((part) => (typeof part === 'string' ? part : asText(evaluate(part, scope))))
    .join('');
}

/** A command with every value in place; each argument stays one argument, whatever it holds. */
export function renderArgv(argv: readonly string[], scope: Scope): string[] {
  return argv.map((argument) => renderText(argument, scope));
}

/** A text that is one single `${{ … }}` keeps its value's type; anything else is text. */
export function renderValue(value: unknown, scope: Scope): unknown {
  if (typeof value === 'string') {
    const parts = parseTemplate(value);
    const [only] = parts;
    if (parts.length === 1 && typeof only === 'object') return evaluate(only, scope);
    return renderText(value, scope);
  }
  if (Array.isArray(value)) return value.map((item) => renderValue(item, scope));
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, renderValue(v, scope)]));
  }
  return value;
}

/** Every template inside a JSON value, for checking. */
export function templatesIn(value: unknown): string[] {
  if (typeof value === 'string') return value.includes('${{') ? [value] : [];
  if (Array.isArray(value)) return value.flatMap(templatesIn);
  if (value !== null && typeof value === 'object') return Object.values(value).flatMap(templatesIn);
  return [];
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
