import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { AppError } from '../errors/app-error';
import type { Problem } from '../errors/app-error';
import type { Plan } from '../schemas/plan';
import { checkSize, invalidPlan, readDocument } from './pipeline-document';
import type { Report } from './pipeline-document';

/**
 * Compiles a pipeline in YAML 1.2 to its canonical plan. Throws INVALID_PLAN with every problem, each
 * with path, line and column (both from 1). At most 2 MiB.
 */
export function compileYaml(text: string): Plan {
  checkSize(text);
  const file = parse(text);
  const problems: Problem[] = file.document.errors.map((error) => ({
    path: '',
    message: error.message.split('\n')[0] ?? 'is not valid YAML',
    ...(error.linePos && { line: error.linePos[0].line, column: error.linePos[0].col }),
  }));
  if (problems.length > 0) throw invalidPlan(problems);
  const report: Report = (path, message) => {
    problems.push({ path: path.join('.'), message, ...positionOf(file, path) });
  };
  const plan = hasAlias(file.document)
    ? report([], 'uses YAML aliases, which are not taken: write it out.')
    : readDocument(file.document.toJS({ maxAliasCount: 0 }), report);
  if (plan === undefined) throw invalidPlan(problems);
  return plan;
}

interface File {
  readonly document: Document;
  readonly lines: LineCounter;
}

function parse(text: string): File {
  const lines = new LineCounter();
  try {
    const options = { version: '1.2', lineCounter: lines, uniqueKeys: true } as const;
    return { document: parseDocument(text, options), lines };
  } catch (error) {
    // the parser recurses: thousands of nested brackets exhaust the stack
    if (error instanceof RangeError || (error instanceof Error && error.name === 'RangeError')) {
      throw new AppError('INVALID_PLAN', 'The pipeline is nested too deeply.', { cause: error });
    }
    throw error;
  }
}

/** Line and column of the deepest part of a path that exists in the file. */
function positionOf(
  file: File,
  path: readonly (string | number)[],
): { line: number; column: number } | undefined {
  let node: unknown = file.document.contents;
  let offset: number | undefined;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === part);
      if (pair === undefined) break;
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      if (isNode(node)) offset = node.range?.[0] ?? offset;
    } else break;
  }
  if (offset === undefined) return undefined;
  const { line, col } = file.lines.linePos(offset);
  return { line, column: col };
}

function hasAlias(document: Document): boolean {
  const walk = (node: unknown): boolean => {
    if (isAlias(node)) return true;
    if (isMap(node)) return node.items.some((pair) => walk(pair.key) || walk(pair.value));
    return isSeq(node) && node.items.some(walk);
  };
  return walk(document.contents);
}
