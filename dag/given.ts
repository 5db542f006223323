type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the keys that are undefined: an optional key is either there or not. */
export function given<T extends object>(value: T): Given<T> {
  const result: Given<T> = {};
  // called for every step several times: no arrays of entries in between
  for (const key in value) {
    const inner = value[key];
    if (inner !== undefined) result[key] = inner as Exclude<T[typeof key], undefined>;
  }
  return result;
}
