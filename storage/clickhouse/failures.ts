import { AppError } from '../../errors/app-error';

/** Codes of node that say "not there (yet)", so a retry may help. */
const UNAVAILABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
]);
/**
 * Codes of ClickHouse that say the same: time-out (159), too many queries (202), network (209, 210),
 * memory (241), read-only table (242), too many parts (252), shutting down (394), no ZooKeeper (999).
 */
const OVERLOADED = new Set(['159', '202', '209', '210', '241', '242', '252', '394', '999']);
/** NOT_ENOUGH_SPACE, and "no space left on device" inside other errors. */
const FULL = new Set(['243']);

/** Failures to reach or to use the store become AppErrors; mistakes in a statement stay. */
export function translate(error: unknown): unknown {
  const { code, text } = describe(error);
  if (FULL.has(code) || /No space left on device/i.test(text)) {
    const message = 'ClickHouse has no space left on its disk.';
    return new AppError('STORAGE_FULL', message, { cause: error });
  }
  const gone = /Timeout error|socket hang up|is closed|cannot use a closed/i.test(text);
  if (UNAVAILABLE.has(code) || OVERLOADED.has(code) || gone) {
    const message = `ClickHouse does not answer (${code || 'no connection'}).`;
    return new AppError('DEPENDENCY_UNAVAILABLE', message, { cause: error });
  }
  return error;
}

/** Read by structure: errors of node's own modules are no `Error` of a test's realm. */
function describe(error: unknown): { readonly code: string; readonly text: string } {
  if (typeof error !== 'object' || error === null) return { code: '', text: String(error) };
  const text = 'message' in error ? String(error.message) : '';
  if ('clickhouseCode' in error && typeof error.clickhouseCode === 'number') {
    return { code: String(error.clickhouseCode), text };
  }
  return { code: 'code' in error ? String(error.code) : '', text };
}
