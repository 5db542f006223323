import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document, Pair, YAMLMap } from 'yaml';
import type { Problem } from '../errors/app-error';
import type { Plan } from '../schemas/plan';
import { checkSize, invalidPlan, readDocument } from './pipeline-document';
import type { CompiledPipeline, Report } from './pipeline-document';
import { includeFrom } from './pipeline-include';
import type { Files } from './pipeline-include';
import type { Include } from './pipeline-steps';
import { formatPath } from './problem-path';
import type { PathParts } from './problem-path';
import { findYamlProblems } from './yaml-rules';

/** Where a pipeline stands, if it may use others: its path in the project, and how files are read. */
export interface YamlSource {
  readonly file: string;
  readonly read: Files['read'];
}

/**
 * Compiles a pipeline in YAML 1.2 to its canonical plan. Throws INVALID_PLAN with every problem, each
 * with path, line and column (both from 1). At most 2 MiB.
 */
export function compileYaml(text: string, source?: YamlSource): Plan {
  return compileYamlFile(text, source).plan;
}

/**
 * The same for a pipeline that a step has written. It stands alone: it may use no other files, and
 * nothing of its own may start it.
 */
export function compileWritten(text: string): Plan {
  const { plan, triggers } = compile(text, ({ report }) => {
    report(['uses'], 'names a pipeline file, which one that a step writes cannot: write it out.');
    return undefined;
  });
  if (Object.keys(triggers).length === 0) return plan;
  const message = 'starts runs of a pipeline that is deployed, not of one that a step writes.';
  throw invalidPlan([{ path: 'on', message }]);
}

/** As compileYaml, with what starts runs of the pipeline once it is deployed. */
export function compileYamlFile(text: string, source?: YamlSource): CompiledPipeline {
  if (source === undefined) return compile(text);
  const { file, read } = source;
  // what an inner file is started by counts only where that file itself is deployed
  const planOf = (inner: string, include: Include): Plan => compile(inner, include).plan;
  return compile(text, includeFrom({ read, compile: planOf }, file, [file]));
}

function compile(text: string, include?: Include): CompiledPipeline {
  checkSize(text);
  const file = parse(text);
  const problems: Problem[] = [
    ...file.document.errors.map((error) => ({ message: headOf(error), offset: error.pos[0] })),
    ...findYamlProblems(file.document),
  ].map(({ message, offset }) => ({ path: '', message, ...lineOf(file, offset) }));
  if (problems.length > 0) throw invalidPlan(problems);
  const report: Report = (path, message) => {
    problems.push({ path: formatPath(path), message, ...lineOf(file, offsetOf(file, path)) });
  };
  const compiled = readDocument(file.document.toJS({ maxAliasCount: 0 }), report, include);
  if (compiled === undefined) throw invalidPlan(problems);
  return compiled;
}

interface File {
  readonly document: Document;
  readonly lines: LineCounter;
  readonly pairs: Map<YAMLMap, ReadonlyMap<string, Pair>>;
}

/** The parser recurses: thousands of nested brackets exhaust its stack. */
const TOO_DEEP = 'is nested too deeply.';

function parse(text: string): File {
  const lines = new LineCounter();
  // our own check of keys is linear; without it and pretty errors a hostile file costs minutes
  const options = { version: '1.2', uniqueKeys: false, prettyErrors: false } as const;
  try {
    const document = parseDocument(text, { ...options, lineCounter: lines });
    const isTooDeep = document.errors.some(({ message }) => message.includes('call stack'));
    if (isTooDeep) throw invalidPlan([{ path: '', message: TOO_DEEP }]);
    return { document, lines, pairs: new Map() };
  } catch (error) {
    const isStack = error instanceof Error && error.message.includes('call stack');
    throw isStack ? invalidPlan([{ path: '', message: TOO_DEEP }]) : error;
  }
}

/** The sentence of a parser's message that names the mistake. */
function headOf(error: { readonly message: string }): string {
  return error.message.split(/\n|; please/)[0] ?? 'is not valid YAML';
}

function lineOf(
  file: File,
  offset: number | undefined,
): { line: number; column: number } | undefined {
  if (offset === undefined) return undefined;
  const { line, col } = file.lines.linePos(offset);
  return { line, column: col };
}

/** Where the deepest part of a path that exists in the file begins. */
function offsetOf(file: File, path: PathParts): number | undefined {
  let node: unknown = file.document.contents;
  let offset: number | undefined;
  for (const part of path) {
    if (isMap(node)) {
      const pair = pairsOf(file, node).get(String(part));
      if (pair === undefined) break;
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      if (isNode(node)) offset = node.range?.[0] ?? offset;
    } else break;
  }
  return offset;
}

/** The entries of a mapping by key; kept, since a file may have thousands of mistakes. */
function pairsOf({ pairs }: File, map: YAMLMap): ReadonlyMap<string, Pair> {
  const known = pairs.get(map);
  if (known !== undefined) return known;
  const entries = map.items.flatMap((pair) =>
    isScalar(pair.key) ? [[String(pair.key.value), pair] as const] : [],
  );
  const found = new Map(entries);
  pairs.set(map, found);
  return found;
}
