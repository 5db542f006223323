import { setTimeout as sleep } from 'node:timers/promises';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import type { Config } from '../config/config';
import { temporalConnection, workerCodec } from '../config/temporal';

/** Between two tries to reach Temporal at the start; the supervisor or Kubernetes may start us first. */
const CONNECT_AGAIN_MS = 500;

/** One line of JSON on stderr. */
export function logLine(line: Readonly<Record<string, unknown>>): void {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`);
}

/** Sends what the SDK and its core have to say to stderr as JSON, warnings and worse only. */
export function installRuntime(): void {
  const logger = new DefaultLogger('WARN', ({ level, message, meta }) => {
    logLine({ level: level.toLowerCase(), message, ...plain(meta) });
  });
  Runtime.install({
    logger,
    telemetryOptions: { logging: { forward: {}, filter: 'warn' } },
    // ours: the worker ends after its steps, then the process
    shutdownSignals: [],
  });
}

function plain(meta: Readonly<Record<string, unknown>> | undefined): Record<string, unknown> {
  const entries = Object.entries(meta ?? {}).map(([key, value]) => [
    key,
    value instanceof Error ? (value.stack ?? value.message) : value,
  ]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

/** Connects to Temporal; tries again until it is there, or gives undefined when told to stop. */
export async function connectTemporal(
  config: Config,
  stop: AbortSignal,
): Promise<NativeConnection | undefined> {
  for (let attempt = 1; !stop.aborted; attempt += 1) {
    try {
      return await NativeConnection.connect({
        ...temporalConnection(config),
        grpcCompression: { codec: workerCodec(config) },
      });
    } catch (error) {
      if (attempt === 1) {
        const why = error instanceof Error ? error.message : String(error);
        logLine({ level: 'warn', message: `Temporal is not there yet: ${why}` });
      }
      await sleep(CONNECT_AGAIN_MS);
    }
  }
  return undefined;
}

/** Aborts at the first SIGTERM or SIGINT. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      controller.abort();
    });
  }
  return controller.signal;
}
