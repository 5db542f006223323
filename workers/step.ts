import { Worker } from '@temporalio/worker';
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { loadConfig } from '../config/config';
import { AppError } from '../errors/app-error';
import { createExecuteStep } from '../steps/activity';
import { removeLeftovers } from '../steps/leftovers';
import { admitStepUser } from '../steps/step-user';
import { poolQueue } from '../workflows/contract';
import { connectTemporal, installRuntime, logLine, stopSignal } from './runtime';

/** Cancellation and preemption reach a step within this, and a lost worker is noticed soon. */
const HEARTBEAT_THROTTLE = '2s';
/** Inside the two minutes of a spot notice; then the process ends and the guard ends the steps. */
const SHUTDOWN_FORCE_TIME = '100s';

/** Runs steps on this machine until it is told to stop. It talks to Temporal and the api only. */
async function main(): Promise<void> {
  const config = loadConfig();
  const { ANNEAL_API: api, ANNEAL_NODE_TOKEN: token } = config;
  if (api === undefined || token === undefined) {
    throw new AppError('CONFIG_INVALID', 'A step worker needs ANNEAL_API and ANNEAL_NODE_TOKEN.');
  }
  const { ANNEAL_DATA_DIR: dataDir, ANNEAL_STEP_USER: user } = config;
  const folder = resolve(dataDir, 'steps');
  const runner = join(__dirname, '..', 'steps', 'runner.js');
  mkdirSync(folder, { recursive: true });
  removeLeftovers(folder);
  if (user !== undefined) admitStepUser(user, { dataDir, folder, runner });
  installRuntime();
  const stop = stopSignal();
  const connection = await connectTemporal(config, stop);
  if (connection === undefined) return;
  const name = config.ANNEAL_NODE ?? hostname();
  const codeCacheBytesMax = config.ANNEAL_CODE_CACHE_MIB * 1024 ** 2;
  const node = { name, api, token, folder, runner, user, codeCacheBytesMax };
  const executeStep = createExecuteStep(node);
  const pools = config.ANNEAL_POOLS.split(',').map((pool) => pool.trim());
  const workers = await Promise.all(
    pools.map((pool) =>
      Worker.create({
        connection,
        namespace: config.TEMPORAL_NAMESPACE,
        taskQueue: poolQueue(pool),
        activities: { executeStep },
        maxConcurrentActivityTaskExecutions: config.ANNEAL_SLOTS,
        maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
        shutdownGraceTime: 0, // a step hears of the shutdown at once: it has to save
        shutdownForceTime: SHUTDOWN_FORCE_TIME,
      }),
    ),
  );
  const shutdown = (): void => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  const running = Promise.all(workers.map((worker) => worker.run()));
  stop.addEventListener('abort', shutdown);
  if (stop.aborted) shutdown();
  process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
  await running;
  await connection.close();
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    logLine({ level: 'error', message });
    process.exit(1); // the supervisor starts it again
  },
);
