/** So many statements' worth of work in one transaction, at most. */
const BATCH_MAX = 500;

interface Waiting<T> {
  readonly item: T;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Gathers what many callers write at the same time into few writes: while one is under way the next
 * batch comes together, so a lone caller never waits. If a batch fails, each item is tried alone.
 */
export function createBatches<T>(
  write: (items: readonly T[]) => Promise<void>,
): (item: T) => Promise<void> {
  const waiting: Waiting<T>[] = [];
  let isWriting = false;

  const writeOne = async ({ item, resolve, reject }: Waiting<T>): Promise<void> => {
    await write([item]).then(resolve, reject);
  };
  const writeAll = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH_MAX);
      try {
        await write(batch.map(({ item }) => item));
        for (const { resolve } of batch) resolve();
      } catch {
        await Promise.all(batch.map(writeOne));
      }
    }
    isWriting = false;
  };

  return (item) =>
    new Promise<void>((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (isWriting) return;
      isWriting = true;
      setImmediate(() => void writeAll());
    });
}
