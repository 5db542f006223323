/** The way to a value inside another. */
export type Place = readonly (string | number)[];

/** Where a value stands inside another: lists, objects and leaves; the whole has the empty path. */
export function placesIn(value: unknown): Place[] {
  if (value === null || typeof value !== 'object') return [[]];
  const inner = Object.entries(value).flatMap(([key, item]) =>
    placesIn(item).map((path) => [key, ...path]),
  );
  return [[], ...inner];
}

/** What stands there. */
export function valueAt(value: unknown, place: Place): unknown {
  return place.reduce((inner, key) => (inner as Record<string | number, unknown>)[key], value);
}

/** A copy with another value at that place. */
export function replaceAt(value: unknown, [key, ...rest]: Place, by: unknown): unknown {
  if (key === undefined) return by;
  if (Array.isArray(value)) {
    return (value as unknown[]).map((item, i) =>
      String(i) === String(key) ? replaceAt(item, rest, by) : item,
    );
  }
  const record = value as Record<string, unknown>;
  return { ...record, [key]: replaceAt(record[key], rest, by) };
}
