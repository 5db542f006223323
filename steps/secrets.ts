import { environment } from '../config/config';
import { readStepSecret } from '../config/secrets';

/** Takes the values of secrets out of what is shown or kept. */
export interface Masks {
  readonly mask: (text: string) => string;
  /** Length of the longest value. */
  readonly charsMax: number;
}
/** A shorter value would stand in every other line; it is no secret either. */
const MASKED_CHARS_MIN = 4;

/** The secrets that a step asks for, from this node's environment; `missing` are those it lacks. */
export function readSecretsOfStep(names: readonly string[]): {
  readonly values: Readonly<Record<string, string>>;
  readonly missing: readonly string[];
} {
  const found = names.map((name) => [name, readStepSecret(environment(), name)] as const);
  const there = found.filter((pair): pair is [string, string] => pair[1] !== undefined);
  const missing = found.flatMap(([name, value]) => (value === undefined ? [name] : []));
  return { values: Object.fromEntries(there), missing };
}

/** `***` for each value, and for each line of one that has several, since logs come line by line. */
export function createMasks(values: readonly string[]): Masks {
  const parts = [...new Set(values.flatMap((value) => [value, ...value.split(/\r?\n/)]))]
    .filter((part) => part.length >= MASKED_CHARS_MIN)
    .sort((a, b) => b.length - a.length); // one may be a part of another
  return {
    mask: (text) => parts.reduce((masked, part) => masked.replaceAll(part, () => '***'), text),
    charsMax: parts[0]?.length ?? 0,
  };
}
