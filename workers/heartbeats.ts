import type { ActivityInterceptorsFactory } from '@temporalio/worker';

/** So many beats in one timeout: one may be lost and one late. */
const BEATS = 4;

/**
 * Every activity that has a heartbeat timeout beats by itself while it runs: a worker that was killed is
 * noticed within that timeout, not within the time that the longest activity may take.
 */
export const heartbeats: ActivityInterceptorsFactory = (context) => ({
  inbound: {
    async execute(input, next) {
      const { heartbeatTimeoutMs } = context.info;
      if (heartbeatTimeoutMs === undefined || heartbeatTimeoutMs === 0) return next(input);
      const timer = setInterval(() => {
        context.heartbeat();
      }, heartbeatTimeoutMs / BEATS);
      try {
        return await next(input);
      } finally {
        clearInterval(timer);
      }
    },
  },
});
