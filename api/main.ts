import { loadConfig } from '../config/config';
import { createApp } from './app';
import { assertSafeBind } from './auth/addresses';
import { createAuthenticate } from './auth/authenticate';
import { bootstrapTokens } from './auth/bootstrap';
import { listen, stopListening } from './listen';
import { logEnd, logLine } from './log';
import { openParts } from './parts';
import { registerRoutes } from './routes';

/** Serves until SIGTERM or SIGINT; then lets requests end, keeps what was acknowledged and closes. */
async function main(): Promise<void> {
  const config = loadConfig();
  assertSafeBind(config);
  const stopped = untilSignal();
  const parts = await openParts(config);
  await bootstrapTokens(parts.postgres, config);
  const app = await createApp({
    authenticate: createAuthenticate({ postgres: parts.postgres, config }),
    routes: (routes) => {
      registerRoutes(routes, parts);
    },
    log: logLine,
  });
  const url = await listen(app, config);
  process.stdout.write(`${JSON.stringify({ ready: true, url })}\n`);
  await stopped;
  await stopListening(app);
  await parts.close();
}

/** Resolves at the first signal to stop; a second one ends the process at once. */
function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.once(name, () => {
        resolve();
      });
    }
  });
}

main().then(
  () => process.exit(0), // whatever still holds the event loop has nothing left to say
  (error: unknown) => {
    logEnd(error);
    process.exit(1); // the supervisor, or the container's runtime, starts it again
  },
);
