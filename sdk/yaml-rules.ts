import { isAlias, isMap, isNode, isScalar, isSeq } from 'yaml';
import type { Document, YAMLMap } from 'yaml';

/** Something in a YAML file that a pipeline may not use; `offset` counts characters from 0. */
export interface YamlProblem {
  readonly message: string;
  readonly offset: number | undefined;
}

const ALIAS = 'uses a YAML alias, which is not taken: write it out.';

/**
 * What YAML allows and a pipeline does not: aliases (a few lines of them can stand for gigabytes),
 * a key given twice, keys that are not plain, tags of other programs, and versions other than 1.2.
 */
export function findYamlProblems(document: Document): YamlProblem[] {
  const problems: YamlProblem[] = document.warnings.map((warning) => ({
    message: warning.message.split('\n')[0] ?? '',
    offset: warning.pos[0],
  }));
  const version = document.directives?.yaml.version;
  if (version !== undefined && version !== '1.2') {
    problems.push({ message: `is YAML ${version}; only YAML 1.2 is read.`, offset: 0 });
  }
  const add = (message: string, node: unknown): void => {
    problems.push({ message, offset: isNode(node) ? node.range?.[0] : undefined });
  };
  // a work list: linear in the size of the file, which the parser's own check of keys is not; one by
  // one, since a list may be longer than a call can have arguments
  const work: unknown[] = [document.contents];
  for (let node = work.pop(); node !== undefined; node = work.pop()) {
    if (isAlias(node)) add(ALIAS, node);
    else if (isSeq(node)) for (const item of node.items) if (isNode(item)) work.push(item);
    if (isMap(node)) for (const inner of checkMap(node, add)) work.push(inner);
  }
  return problems.sort((a, b) => (a.offset ?? 0) - (b.offset ?? 0));
}

function checkMap(map: YAMLMap, add: (message: string, node: unknown) => void): unknown[] {
  const seen = new Set<string>();
  for (const { key } of map.items) {
    if (isAlias(key)) add(ALIAS, key);
    else if (!isScalar(key)) add('has a key that is not a plain word.', key);
    else {
      const name = String(key.value);
      if (seen.has(name)) add(`has the key '${name}' twice.`, key);
      seen.add(name);
    }
  }
  return map.items.map((pair) => pair.value).filter(isNode);
}
