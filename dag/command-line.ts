import { ExpressionError } from './expressions';
import { piecesOf } from './template';
import type { Piece } from './template';

/** Characters that only a shell understands. */
const SHELL_SIGNS = /[|&;<>()`$*?~#\n\\!{}[\]]/;
/** Words at the beginning that only a shell understands: its own commands, and `NAME=value`. */
const SHELL_START =
  /^\s*(?:[A-Za-z_]\w*=|(?:\.|:|cd|exit|export|set|source|ulimit|umask|exec|eval|trap|unset)(?:\s|$))/;

/**
 * A `run` line as arguments. Without shell signs it is split at blanks, quotes respected; with them
 * it runs in `sh -ec` (a failed line ends the script), where each `${{ }}` becomes a positional
 * parameter, so that no value is ever read as shell code. Throws ExpressionError.
 */
export function runToArgv(run: string): string[] {
  const pieces = piecesOf(run);
  const isShell =
    SHELL_START.test(run) ||
    pieces.some((piece) => !piece.isExpression && SHELL_SIGNS.test(piece.text));
  if (!isShell) return splitWords(pieces);
  const values = pieces.filter((piece) => piece.isExpression).map(toSource);
  return ['sh', '-ec', toScript(pieces), 'sh', ...values];
}

function toSource(piece: Piece): string {
  return `\${{${piece.text}}}`;
}

/** Splits at blanks; quotes keep a word together and go away. */
function splitWords(pieces: readonly Piece[]): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  let openedAt = 0;
  for (const piece of pieces) {
    if (piece.isExpression) {
      word = (word ?? '') + toSource(piece);
      continue;
    }
    for (let i = 0; i < piece.text.length; i += 1) {
      const sign = piece.text[i] ?? '';
      if (quote !== '') {
        if (sign === quote) quote = '';
        else word = (word ?? '') + sign;
      } else if (sign === '"' || sign === "'") {
        quote = sign;
        openedAt = piece.at + i;
        word ??= '';
      } else if (/\s/.test(sign)) {
        if (word !== undefined) words.push(word);
        word = undefined;
      } else word = (word ?? '') + sign;
    }
  }
  if (quote !== '') throw new ExpressionError(`the quote ${quote} is never closed`, openedAt + 1);
  if (word !== undefined) words.push(word);
  return words;
}

/** What a shell makes of the text so far. */
interface ShellState {
  quote: '' | '"' | "'";
  comment: boolean;
}

/** The script with `"${1}"`, `"${2}"` … where values stand, fitted to the quotes around them. */
function toScript(pieces: readonly Piece[]): string {
  const state: ShellState = { quote: '', comment: false };
  let values = 0;
  return pieces
    .map((piece) => {
      if (!piece.isExpression) {
        follow(state, piece.text);
        return piece.text;
      }
      values += 1;
      const parameter = `\${${values}}`;
      if (state.quote === '"') return parameter;
      return state.quote === "'" ? `'"${parameter}"'` : `"${parameter}"`;
    })
    .join('');
}

function follow(state: ShellState, text: string): void {
  for (let i = 0; i < text.length; i += 1) {
    const sign = text[i];
    if (state.comment) state.comment = sign !== '\n';
    else if (sign === '\\' && state.quote !== "'") i += 1;
    else if (sign === '"' || sign === "'") {
      if (state.quote === '') state.quote = sign;
      else if (state.quote === sign) state.quote = '';
    } else if (sign === '#' && state.quote === '') {
      state.comment = i === 0 || /[\s;&|(]/.test(text[i - 1] ?? '');
    }
  }
}
