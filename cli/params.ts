import { AppError } from '../errors/app-error';
import type { ParamSpec } from '../schemas/plan';

type Specs = Readonly<Record<string, Pick<ParamSpec, 'type'>>>;

/**
 * `name=value` pairs. A parameter that is a string takes the text as it is; any other is read as JSON,
 * or stays text if it is none. INVALID_ARGUMENT for a pair of another form.
 */
export function parseParams(pairs: readonly string[], specs: Specs): Record<string, unknown> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) {
        const message = `'-p ${pair}' is not of the form name=value.`;
        throw new AppError('INVALID_ARGUMENT', message);
      }
      const name = pair.slice(0, at);
      const text = pair.slice(at + 1);
      const type = Object.hasOwn(specs, name) ? specs[name]?.type : undefined;
      return [name, type === 'string' ? text : parseValue(text)];
    }),
  );
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Gathers an option that may be given several times. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
