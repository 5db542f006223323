import type { RetrySpec } from '../schemas/plan';

/** How soon a failed step is tried again unless it says otherwise: 1 s, 2 s, 4 s, … a minute. */
export const RETRY_DELAYS = { delaySeconds: 1, factor: 2, maxDelaySeconds: 60 } as const;

export interface RetryDelays {
  readonly delaySeconds: number;
  readonly factor: number;
  readonly maxDelaySeconds: number;
}

/** The delays of a step with what it leaves out; the longest is never shorter than the first. */
export function retryDelays(retry: Partial<Pick<RetrySpec, keyof RetryDelays>>): RetryDelays {
  const delaySeconds = retry.delaySeconds ?? RETRY_DELAYS.delaySeconds;
  return {
    delaySeconds,
    factor: retry.factor ?? RETRY_DELAYS.factor,
    maxDelaySeconds: retry.maxDelaySeconds ?? Math.max(RETRY_DELAYS.maxDelaySeconds, delaySeconds),
  };
}
