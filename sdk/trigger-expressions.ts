import { literal, printExpression } from '../dag/expression-text';
import type { Report } from './pipeline-document';
import { isRecord } from './pipeline-keys';
import type { PathParts } from './problem-path';
import { isText } from './step-reader';

/** A mapping of params to expressions; a number, a truth value or a list stands for itself. */
export function readExpressions(
  value: unknown,
  path: PathParts,
  report: Report,
): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) {
    report(path, 'must be a mapping of params to expressions.');
    return {};
  }
  const texts = Object.entries(value).map(([name, given]): [string, string] => {
    const isPlain = ['number', 'boolean'].includes(typeof given) || Array.isArray(given);
    if (isText(given) || isPlain) return [name, isText(given) ? given : textOf(given)];
    report([...path, name], 'must be an expression.');
    return [name, 'null'];
  });
  return Object.fromEntries(texts);
}

function textOf(value: unknown): string {
  return printExpression(literal(value));
}
