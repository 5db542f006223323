import { setFlagsFromString } from 'node:v8';
import { Worker, type WorkerOptions } from '@temporalio/worker';
import { createActivities } from '../activities';
import { openStarter } from '../api/starter';
import { loadConfig, type Config } from '../config/config';
import { workerVersion } from '../config/temporal';
import { AppError } from '../errors/app-error';
import { createReadPipeline } from '../pipelines/fragments';
import { startJanitor } from '../pipelines/janitor';
import { startOutbox } from '../pipelines/outbox';
import { registerModel, type RegisterModelDeps } from '../registry/register';
import { openObjects } from '../storage/objects/open';
import type { ObjectStore } from '../storage/objects/store';
import { openPostgres } from '../storage/postgres/client';
import { CONTROL_QUEUE } from '../workflows/contract';
import { workflowSource } from './bundle';
import { createCompiler } from './compile';
import { createSender } from './notifications';
import { heartbeats } from './heartbeats';
import { connectTemporal, installRuntime, logLine, stopSignal } from './runtime';

/** About 1 MB each; beyond it the oldest is dropped and replayed when it goes on. */
const CACHED_WORKFLOWS_MAX = 300;
/** Room for what 25 segments start at once, so that Temporal can hand it over at once: most wait for one write. */
const ACTIVITIES_MAX = 2000;
/** Bookkeeping ends within seconds; what does not is repeated by the next worker. */
const SHUTDOWN_FORCE_TIME = '20s';

/** Between two looks for events that start runs: an empty one is a look at an empty index. */
const EVENTS_EVERY_MS = 1_000;

/**
 * By how much the heap of a thread grows beyond what lives before all of it is collected. Node on a large
 * machine lets it grow to four times that, and most of this process was garbage.
 */
const HEAP_GROWING_PERCENT = 60;

/** Runs workflows and bookkeeping until it is told to stop; outages are waited out. */
async function main(): Promise<void> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  const config = loadConfig();
  if (config.DATABASE_URL === undefined) {
    throw new AppError('CONFIG_INVALID', 'DATABASE_URL is not set: where is Postgres?');
  }
  installRuntime();
  const stop = stopSignal();
  const postgres = openPostgres(config.DATABASE_URL);
  const starter = openStarter(config);
  const registry: RegisterModelDeps = {
    postgres,
    changeAlias: (projectId, model, change) => starter.changeAlias(projectId, model, change),
  };
  // opened when the first pipeline is read: without one no store has to be named
  const get: ObjectStore['get'] = (...of) => (store ??= openObjects(config)).get(...of);
  let store: ObjectStore | undefined;
  const objects = { get };
  const connection = await connectTemporal(config, stop);
  if (connection === undefined) return;
  const worker = await Worker.create({
    connection,
    namespace: config.TEMPORAL_NAMESPACE,
    taskQueue: CONTROL_QUEUE,
    ...workflowSource(),
    ...versioning(config),
    activities: createActivities({
      postgres,
      readPipeline: createReadPipeline({ postgres, objects, compile: createCompiler() }),
      registerModel: (input) => registerModel(registry, input),
      sendNotification: createSender({
        url: config.ANNEAL_NOTIFY_URL,
        hosts: config.ANNEAL_NOTIFY_HOSTS,
      }),
    }),
    interceptors: { activity: [heartbeats] },
    maxCachedWorkflows: CACHED_WORKFLOWS_MAX,
    maxConcurrentActivityTaskExecutions: ACTIVITIES_MAX,
    // built-in steps start here with the task that scheduled them, without a way through the server
    maxEagerActivityReservationsPerWorkflowTask: ACTIVITIES_MAX,
    shutdownForceTime: SHUTDOWN_FORCE_TIME,
  });
  const running = worker.run();
  stop.addEventListener('abort', () => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
  });
  if (stop.aborted && worker.getState() === 'RUNNING') worker.shutdown();
  process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
  const janitor = startJanitor(
    { postgres, findEndedWorkflows: (runIds) => starter.findEndedWorkflows(runIds) },
    { everyMs: config.ANNEAL_JANITOR_SECONDS * 1000, log: logLine },
  );
  const outbox = startOutbox({ postgres, starter, log: logLine }, { everyMs: EVENTS_EVERY_MS });
  await running;
  await Promise.all([janitor.stop(), outbox.stop()]);
  await Promise.all([connection.close(), starter.close(), postgres.close()]);
}

/**
 * As a build of a worker deployment: what does not say otherwise (workflows/index.ts) moves to the current
 * build. Without a deployment every worker takes all.
 */
function versioning(config: Config): Pick<WorkerOptions, 'workerDeploymentOptions'> {
  const version = workerVersion(config);
  if (version === undefined) return {};
  const defaultVersioningBehavior = 'AUTO_UPGRADE';
  return {
    workerDeploymentOptions: { version, useWorkerVersioning: true, defaultVersioningBehavior },
  };
}

main().then(
  () => process.exit(0), // open connections would keep the process
  (error: unknown) => {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    logLine({ level: 'error', message });
    process.exit(1); // the supervisor starts it again
  },
);
