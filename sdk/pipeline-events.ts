import { given } from '../dag/given';
import { suggest } from '../dag/suggest';
import { LISTENS_MAX, type DatasetTrigger, type ModelTrigger } from '../schemas/triggers';
import type { Report } from './pipeline-document';
import { checkKeys, isRecord } from './pipeline-keys';
import type { PathParts } from './problem-path';
import { isText } from './step-reader';
import { readExpressions } from './trigger-expressions';

const MODEL_KEYS = ['name', 'event', 'alias', 'params'];
const DATASET_KEYS = ['pipeline', 'step', 'output', 'params'];
const EVENTS = ['version', 'alias'] as const;

/** One mapping of a list, and where it stands. */
interface Entry {
  readonly value: Readonly<Record<string, unknown>>;
  readonly path: PathParts;
  readonly report: Report;
}

/** The models whose versions and aliases start runs. */
export function readModels(value: unknown, report: Report): ModelTrigger[] | undefined {
  return readList(value, { key: 'model', keys: MODEL_KEYS, report })?.map(readModel);
}

/** The datasets that start runs. */
export function readDatasets(value: unknown, report: Report): DatasetTrigger[] | undefined {
  return readList(value, { key: 'dataset', keys: DATASET_KEYS, report })?.map((entry) => ({
    pipeline: readText(entry, 'pipeline', 100),
    step: readText(entry, 'step', 500),
    output: readText(entry, 'output', 100),
    params: readParams(entry),
  }));
}

/** A mapping or a list of mappings; anything else is reported. */
function readList(
  value: unknown,
  of: { readonly key: string; readonly keys: readonly string[]; readonly report: Report },
): Entry[] | undefined {
  if (value === undefined || value === null) return undefined;
  const { key, keys, report } = of;
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > LISTENS_MAX) report(['on', key], `must be at most ${LISTENS_MAX}.`);
  const entries = list.flatMap((one, i): Entry[] => {
    const path = Array.isArray(value) ? ['on', key, i] : ['on', key];
    if (!isRecord(one)) {
      report(path, `must be a mapping with ${keys.join(', ')}.`);
      return [];
    }
    checkKeys(one, { path, known: keys, report });
    return [{ value: one, path, report }];
  });
  return entries.length === 0 ? undefined : entries;
}

function readModel(entry: Entry): ModelTrigger {
  const { value, path, report } = entry;
  const { alias, event = alias === undefined ? 'version' : 'alias' } = value;
  const known = EVENTS.find((one) => one === event);
  if (known === undefined) {
    const near = isText(event) ? suggest(event, EVENTS) : '';
    report([...path, 'event'], `must be one of ${EVENTS.join(', ')}.${near}`);
  }
  if (known === 'version' && alias !== undefined) {
    report(
      [...path, 'alias'],
      "is set by an event of its own: write event: alias, or leave 'event' out.",
    );
  }
  return {
    name: readText(entry, 'name', 250),
    event: known ?? 'version',
    ...given({ alias: alias === undefined ? undefined : readText(entry, 'alias', 255) }),
    params: readParams(entry),
  };
}

function readText({ value, path, report }: Entry, key: string, charsMax: number): string {
  const text = value[key];
  if (isText(text) && text !== '' && text.length <= charsMax) return text;
  report([...path, key], `must be a text of 1 to ${charsMax} characters.`);
  return '?';
}

function readParams({ value, path, report }: Entry): Record<string, string> {
  return readExpressions(value['params'], [...path, 'params'], report);
}

/** One stands by itself, several in a list; without params that are none. */
export function listToDocument(
  list: readonly { readonly params: Readonly<Record<string, string>> }[] | undefined,
): unknown {
  const documents = list?.map(({ params, ...rest }) =>
    Object.keys(params).length > 0 ? { ...rest, params } : rest,
  );
  return documents?.length === 1 ? documents[0] : documents;
}
