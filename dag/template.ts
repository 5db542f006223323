import { evaluate, ExpressionError, parseExpression } from './expressions';
import type { Expression } from './expressions';

/** Free text with `${{ expression }}` in it, taken apart. */
export type Template = readonly (string | Expression)[];

/** Takes a text apart; throws ExpressionError with the column inside the text. */
export function parseTemplate(text: string): Template {
  const parts: (string | Expression)[] = [];
  let at = 0;
  for (;;) {
    const open = text.indexOf('${{', at);
    if (open < 0) break;
    const close = text.indexOf('}}', open);
    if (close < 0) throw new ExpressionError("'${{' is never closed by '}}'", open + 1);
    if (open > at) parts.push(text.slice(at, open));
    parts.push(parseInner(text.slice(open + 3, close), open + 3));
    at = close + 2;
  }
  if (at < text.length) parts.push(text.slice(at));
  return parts;
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

/** Characters that only a shell understands. */
const SHELL_SIGNS = /[|&;<>()`$*?~#\n\\!{}[\]]/;

/**
 * A `run` line as arguments. Without shell signs it is split at blanks, quotes respected; with them
 * it runs in `sh -c`, where each `${{ }}` becomes a positional parameter, so that no value is ever
 * read as shell code.
 */
export function runToArgv(run: string): string[] {
  const parts = parseTemplateTexts(run);
  const isShell = parts.some((part) => !part.isExpression && SHELL_SIGNS.test(part.text));
  if (!isShell) return splitWords(run);
  const values: string[] = [];
  const script = parts
    .map((part) => {
      if (!part.isExpression) return part.text;
      values.push(part.text);
      return `"\${${values.length}}"`;
    })
    .join('');
  return ['sh', '-c', script, 'sh', ...values];
}

function parseTemplateTexts(text: string): { readonly text: string; readonly isExpression: boolean }[] {
  return text
    .split(/(\$\{\{.*?\}\})/)
    .filter((part) => part !== '')
    .map((part) => ({ text: part, isExpression: part.startsWith('${{') }));
}

function splitWords(text: string): string[] {
  const words = text.match(/(?:\$\{\{.*?\}\}|"[^"]*"|'[^']*'|\S)+/g) ?? [];
  return words.map((word) =>
    word.replace(/(\$\{\{.*?\}\})|"([^"]*)"|'([^']*)'/g, (all, expression, double, single) =>
      typeof expression === 'string' ? all : String(double ?? single ?? ''),
    ),
  );
}
