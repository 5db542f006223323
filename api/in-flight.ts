/** Lets at most `max` pieces of work per key run at once; the others wait in order of arrival. */
export interface InFlight {
  run<T>(key: string, work: () => Promise<T>): Promise<T>;
}

interface Lane {
  running: number;
  readonly waiting: (() => void)[];
}

export function createInFlight(max: number): InFlight {
  const lanes = new Map<string, Lane>();
  return {
    async run(key, work) {
      const lane = lanes.get(key) ?? { running: 0, waiting: [] };
      lanes.set(key, lane);
      if (lane.running < max) lane.running += 1;
      else await new Promise<void>((resolve) => lane.waiting.push(resolve));
      try {
        return await work();
      } finally {
        const next = lane.waiting.shift();
        if (next !== undefined)
          next(); // hands its place on
        else lane.running -= 1;
        if (lane.running === 0) lanes.delete(key);
      }
    },
  };
}
