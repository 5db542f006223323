import { createHash } from 'node:crypto';
import { canonicalJson } from '../dag/canonical';
import { referencesOf } from '../dag/expressions';
import { expressionsOf } from '../dag/step-expressions';
import type { StepSpec } from '../schemas/plan';
import type { StoredStep } from '../storage/postgres/steps';
import type { RenderedStep } from './step-scope';

/** What a step's result depends on: the key, and each part by its name, as short text or as digest. */
export interface Content {
  readonly key: string; // SHA-256, 64 hex digits
  readonly parts: ContentParts;
}
export type ContentParts = Readonly<Record<string, string>>;

/** Another meaning of the parts needs another number: no key of before fits then. */
const VERSION = 1;
/** Up to here a part is kept as it is, so that a change of it can be shown. */
const SHOWN_CHARS_MAX = 80;
/** More of them say nothing that the first ones do not. */
const DIFFERENCES_MAX = 5;
/** A command that names this reads params that its expressions do not show. */
const PARAMS_FILE = 'ANNEAL_PARAMS_FILE';

/** Kinds of parts, the most telling ones first. */
const KINDS = [
  'step',
  'code',
  'files',
  'param',
  'input',
  'item',
  'key',
  'with',
  'env',
  'command',
  'outputs',
];

type ContentStep = Pick<StoredStep, 'spec' | 'item'>;
type Rendered = Omit<RenderedStep, 'run'> & {
  readonly run: Pick<RenderedStep['run'], 'codeDigest' | 'params'>;
};

/**
 * The content of a step with all its expressions worked out: code, params that it names, inputs, item,
 * settings, environment, command and declared outputs. Not in it: where and how often it is tried,
 * timeouts, the seed.
 */
export function contentOf(step: ContentStep, rendered: Rendered): Content {
  const { spec, item = {} } = step;
  const { run, positions, files } = rendered;
  const inputs = mapEntries(rendered.inputs, (name, value) =>
    positions[name] === undefined ? value : { value, positions: positions[name] },
  );
  const parts: Record<string, string> = {
    step: show(spec.name.replaceAll(/\[\d+\]/g, '')), // its items stand in `item`
    ...(files === undefined ? { code: show(run.codeDigest) } : { files: show(files) }),
    ...prefixed('param', paramsOf(step, run.params)),
    ...prefixed('input', inputs),
    ...prefixed('item', item),
    ...prefixed('key', rendered.keyed),
    ...prefixed('with', rendered.with),
    ...prefixed('env', rendered.env),
    command: show({ argv: rendered.argv, uses: spec.uses }),
    outputs: show(spec.outputs ?? {}),
  };
  return { key: keyOf(parts), parts };
}

/** The key of parts, whatever their order. */
export function keyOf(parts: ContentParts): string {
  return sha256(canonicalJson({ version: VERSION, parts }));
}

/** What differs between two contents, in words; empty if nothing does. */
export function explainDifference(before: ContentParts, now: ContentParts): string {
  const names = [...new Set([...Object.keys(now), ...Object.keys(before)])];
  const different = names
    .filter((name) => before[name] !== now[name])
    .sort((a, b) => rankOf(a) - rankOf(b)); // rows do not keep the order of parts
  const shown = different
    .slice(0, DIFFERENCES_MAX)
    .map((name) => describe(name, before[name], now[name]));
  const more = different.length - shown.length;
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function rankOf(part: string): number {
  return KINDS.indexOf(part.split('.')[0] ?? '');
}

function describe(part: string, before: string | undefined, now: string | undefined): string {
  const name = part.replace('.', ' '); // 'param.lr' → 'param lr'
  if (before === undefined) return `${name} is new`;
  if (now === undefined) return `${name} is gone`;
  const isShort = part.includes('.') && !isDigest(before) && !isDigest(now);
  return isShort ? `${name}: ${before} → ${now}` : `${name} changed`;
}

/** The params that the result may depend on: a condition or a list only decides whether it runs. */
function paramsOf({ spec }: ContentStep, params: RenderedStep['run']['params']): typeof params {
  if (readsAllParams(spec)) return params;
  const names = new Set<string>();
  for (const { place, tree } of expressionsOf(spec)) {
    if (tree === undefined || place.role === 'condition' || place.role === 'list') continue;
    for (const [root, name] of referencesOf(tree)) {
      if (root !== 'params') continue;
      if (name === undefined) return params;
      names.add(String(name));
    }
  }
  return Object.fromEntries(Object.entries(params).filter(([name]) => names.has(name)));
}

function readsAllParams({ argv = [], env = {} }: StepSpec): boolean {
  return [...argv, ...Object.values(env)].some((text) => text.includes(PARAMS_FILE));
}

function prefixed(prefix: string, record: Readonly<Record<string, unknown>>): ContentParts {
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => [`${prefix}.${name}`, show(value)]),
  );
}

function mapEntries(
  record: Readonly<Record<string, unknown>>,
  map: (name: string, value: unknown) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => [name, map(name, value)]),
  );
}

/** JSON never begins as a digest does. */
function show(value: unknown): string {
  const text = canonicalJson(value ?? null);
  return text.length <= SHOWN_CHARS_MAX ? text : `sha256:${sha256(text)}`;
}
function isDigest(part: string): boolean {
  return part.startsWith('sha256:');
}
function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
