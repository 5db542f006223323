import { AppError, requireArgument } from '../../../errors/app-error';
import type { ModelTag } from '../../../schemas/registered-models';

/** The part of MLflow's search language that clients send to the registry. */
export interface RegistryFilter {
  readonly name?: string;
  readonly runId?: string;
  readonly withoutTag?: ModelTag;
}

// name = 'x', run_id = "x", tag.`key` != 'x'; one clause, then AND or the end
const CLAUSE =
  /^\s*(?:`?(name|run_id)`?\s*=|tags?\.[`"]?([\w.\- ]+?)[`"]?\s*!=)\s*(?:'([^']*)'|"([^"]*)")\s*(?:and\b|$)/i;

/**
 * Reads `name = 'x'`, `run_id = 'x'` and ``tag.`k` != 'v'`` (which Python's client adds by itself in
 * order to hide prompts), joined by AND. NOT_IMPLEMENTED for anything else: never a wrong answer.
 */
export function readRegistryFilter(text: string | undefined): RegistryFilter {
  let rest = text?.trim() ?? '';
  const filter: { name?: string; runId?: string; withoutTag?: ModelTag } = {};
  while (rest !== '') {
    const [clause, field, tag, single, double] = CLAUSE.exec(rest) ?? [];
    const value = single ?? double;
    if (clause === undefined || value === undefined) throw unsupported(rest);
    requireArgument(!value.includes('\0'), 'A filter holds no NUL.');
    const key = tag === undefined ? (field ?? '').toLowerCase() : 'tag';
    const property = { name: 'name', run_id: 'runId', tag: 'withoutTag' }[key] ?? '';
    if (property in filter) throw unsupported(rest);
    if (tag !== undefined) filter.withoutTag = { key: tag, value };
    else if (key === 'name') filter.name = value;
    else filter.runId = value;
    rest = rest.slice(clause.length).trim();
  }
  return filter;
}

function unsupported(text: string): AppError {
  const can = "name = 'x', run_id = 'x' and tag.`k` != 'v', joined by AND";
  return new AppError(
    'NOT_IMPLEMENTED',
    `The registry's filter '${text}' cannot be read; it reads ${can}.`,
  );
}

/** NOT_IMPLEMENTED unless every wanted order is one of those in which we list anyway. */
export function assertOrder(wanted: readonly string[] | undefined, known: readonly string[]): void {
  for (const order of wanted ?? []) {
    const plain = order.trim().replace(/\s+/g, ' ').toLowerCase();
    if (plain !== '' && !known.includes(plain)) {
      throw new AppError(
        'NOT_IMPLEMENTED',
        `The order '${order}' is not among: ${known.join(', ')}.`,
      );
    }
  }
}

/** INVALID_ARGUMENT unless the page size is from 1 to MLflow's own maximum. */
export function pageLimit(
  wanted: number | undefined,
  sizes: { readonly fallback: number; readonly max: number },
): number {
  const limit = wanted ?? sizes.fallback;
  const message = `Invalid value ${limit} for parameter 'max_results': must be from 1 to ${sizes.max}.`;
  requireArgument(limit >= 1 && limit <= sizes.max, message);
  return Math.min(limit, PAGE_ROWS_MAX);
}
/** Clients follow the token to the next page, so a page need not be as large as they would take. */
const PAGE_ROWS_MAX = 1_000;
