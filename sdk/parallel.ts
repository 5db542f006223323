/**
 * Works through the items, at most `atOnce` at a time. Begins nothing new after the first error,
 * waits for what has begun, and throws it.
 */
export async function inParallel<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const errors: unknown[] = [];
  const drain = async (): Promise<void> => {
    while (errors.length === 0) {
      const next = waiting.shift();
      if (next === undefined) return;
      await work(next).catch((error: unknown) => {
        errors.push(error);
      });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, drain));
  if (errors.length > 0) throw errors[0];
}
