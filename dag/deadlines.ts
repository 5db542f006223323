import { parseDuration } from './durations';

const DAY_MS = 86_400_000;
/** Farther away it is a slip of the pen. */
const DEADLINE_DAYS_MAX = 3_650;
const ZONE = String.raw`(?:Z|[+-]\d\d:\d\d)`;
const TIME = new RegExp(String.raw`^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?${ZONE}$`);
const TIME_OF_DAY = new RegExp(String.raw`^([01]\d|2[0-3]):([0-5]\d)(${ZONE})$`);

/**
 * Milliseconds of a point in time: `2026-01-31T18:00Z`, the next `18:00Z` or `18:00+01:00`, or `6h` (also
 * `+6h`) from now on; undefined if the text is none of these.
 */
export function parseDeadline(text: string, nowMs: number): number | undefined {
  const seconds = parseDuration(text.replace(/^\+/, ''));
  if (seconds !== undefined) return nowMs + Math.ceil(seconds * 1000);
  if (TIME.test(text)) {
    const atMs = Date.parse(text);
    return Number.isNaN(atMs) ? undefined : atMs;
  }
  const [, hours, minutes, zone = 'Z'] = TIME_OF_DAY.exec(text) ?? [];
  if (hours === undefined || minutes === undefined) return undefined;
  const today = new Date(nowMs + offsetMs(zone)).toISOString().slice(0, 10);
  const atMs = Date.parse(`${today}T${hours}:${minutes}${zone}`);
  return atMs > nowMs ? atMs : atMs + DAY_MS;
}

/** Why a deadline is refused that somebody gives now; undefined if it is not. */
export function deadlineProblem(text: string, nowMs: number): string | undefined {
  const atMs = parseDeadline(text, nowMs);
  if (atMs === undefined) {
    return `The deadline '${text}' is neither a time, such as 2026-01-31T18:00Z or 18:00Z, nor a duration, such as 6h.`;
  }
  if (atMs <= nowMs) return `The deadline '${text}' has passed: give one that is still to come.`;
  if (atMs <= nowMs + DEADLINE_DAYS_MAX * DAY_MS) return undefined;
  return `The deadline '${text}' is more than ${DEADLINE_DAYS_MAX} days away.`;
}

function offsetMs(zone: string): number {
  if (zone === 'Z') return 0;
  const sign = zone.startsWith('-') ? -1 : 1;
  return sign * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4))) * 60_000;
}
