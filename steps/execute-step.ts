import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AttemptTicket } from '../schemas/attempts';
import type { ExecuteStepInput, ReportProgress } from '../schemas/attempts';
import { createHttp } from '../sdk/http';
import type { Http } from '../sdk/http';
import type { AttemptState, NodeContext, StepOutcome, StepSignals } from './attempt';
import type { StepFailure, StopCause } from './failures';
import { CardWatcher } from './cards';
import { Liveness } from './liveness';
import { LogShipper } from './logs';
import { prepareWorkplace } from './prepare';
import { fail, isReplaced, runProcess } from './run-process';
import type { Running } from './run-process';
import { createMasks, readSecretsOfStep } from './secrets';
import { StatusWatcher } from './status';
import { removeFolderOf } from './step-user';
import { TrackedRun } from './tracked-run';

/** The server notices a dead worker after 10 s: four beats fit. */
const HEARTBEAT_MS = 2_000;
/** An api that is upgraded or moved is back within this; what waits may be days of training. */
const API_PATIENCE_MS = 10 * 60_000;
/** Of unpacked code bundles unless told: hundreds of ordinary projects. */
const CODE_CACHE_BYTES_MAX = 5 * 1024 ** 3;
/** Once the step was told to stop, its node may vanish at any time. */
const LAST_PATIENCE_MS = 15_000;

/** Runs one attempt of a step from ticket to commit. Only infrastructure errors are thrown. */
export async function executeStep(
  node: NodeContext,
  input: ExecuteStepInput,
  signals: StepSignals,
): Promise<StepOutcome> {
  const state: AttemptState = {
    cause: undefined,
    checkpoint: undefined,
    fraction: undefined,
    isPreparing: true,
  };
  const beat = (): void => {
    const { checkpoint = null, fraction = null } = state;
    signals.heartbeat({ attempt: input.attempt, checkpoint, fraction });
  };
  const timer = setInterval(beat, HEARTBEAT_MS);
  const stopping = new AbortController();
  void signals.stop.then((cause) => {
    state.cause ??= cause;
    stopping.abort();
  });
  beat();
  try {
    return await runAttempt({ node, input, signals, state, signal: stopping.signal });
  } finally {
    clearInterval(timer);
  }
}

interface Attempt {
  readonly node: NodeContext;
  readonly input: ExecuteStepInput;
  readonly signals: StepSignals;
  readonly state: AttemptState;
  readonly signal: AbortSignal; // of the preparation
}

async function runAttempt(attempt: Attempt): Promise<StepOutcome> {
  const { node, input, signals, state } = attempt;
  const patienceMs = (): number => {
    if (state.cause === undefined) return API_PATIENCE_MS;
    return state.isPreparing ? 0 : LAST_PATIENCE_MS;
  };
  const ticket = await beginAttempt(attempt, patienceMs);
  if (ticket.committed !== null) {
    return { kind: 'succeeded', result: { outputs: ticket.committed } };
  }
  const http = createHttp({ baseUrl: node.api, token: ticket.token, patienceMs });
  const replaced = new AbortController();
  const refused = (error: unknown): void => {
    if (isReplaced(error)) replaced.abort();
  };
  const { values: secrets, missing } = readSecretsOfStep(ticket.spec.secrets ?? []);
  const logs = new LogShipper(http, createMasks(Object.values(secrets)), refused);
  const root = attemptFolder(node, input);
  const bytesMax = node.codeCacheBytesMax ?? CODE_CACHE_BYTES_MAX;
  const codeCache = { folder: join(node.folder, 'code'), bytesMax };
  const { signal } = attempt;
  try {
    if (missing.length > 0) return await fail({ http, logs }, lackOf(missing, node));
    const preparation = { http, signal, ticket, root, codeCache, logs };
    const place = await prepareWorkplace(preparation).catch((error: unknown) => {
      if (state.cause === undefined) throw error;
    });
    state.isPreparing = false;
    if (place === undefined || state.cause !== undefined) return leave(state.cause);
    const kill = replaced.signal;
    const watch = { ticket, file: place.statusFile, logs, refused };
    const env = await withRunId(attempt, ticket);
    const process = {
      node,
      input,
      ticket: { ...ticket, env },
      http,
      logs,
      place,
      signals,
      state,
      kill,
      secrets,
    };
    return await runWatched(attempt, process, watch);
  } finally {
    await logs.finish();
    if (node.user === undefined) await rm(root, { recursive: true, force: true });
    else await removeFolderOf(node.user, root);
  }
}

/** Runs the process while somebody looks for its signs of life and for what it says of itself. */
async function runWatched(
  attempt: Attempt,
  process: Omit<Running, 'status' | 'cards' | 'liveness'>,
  watch: Watch,
): Promise<StepOutcome> {
  const { heartbeat } = watch.ticket.spec;
  const http = createHttp({ baseUrl: attempt.node.api, token: watch.ticket.token, retries: 1 });
  const liveness = new Liveness({
    heartbeat,
    ...(attempt.node.stallMs !== undefined && { stallMs: attempt.node.stallMs }),
    readMetrics: async () => {
      const path = '/api/v1/attempts/self/metrics-stamp';
      return (await http.get<{ stamp: string }>(path)).stamp;
    },
    stalled: (since) => {
      status.stalled(since);
      if (since !== undefined) watch.logs.add('anneal', `alive but stalled since ${since}`);
    },
  });
  const status = watchStatus(attempt, { ...watch, http, liveness });
  const cards = new CardWatcher(process);
  cards.start();
  try {
    return await runProcess({ ...process, status, cards, liveness });
  } finally {
    liveness.stop();
    await Promise.all([status.finish(), cards.finish()]);
  }
}

/** The step's variables, with the run of a step that wants it made before its process begins. */
async function withRunId(
  { node, input }: Attempt,
  { spec, env, token, pipeline: experiment }: AttemptTicket,
): Promise<AttemptTicket['env']> {
  if (spec.mlflow === undefined) return env;
  const run = new TrackedRun({ api: node.api, token, experiment, name: input.stepKey });
  return { MLFLOW_RUN_ID: await run.id(), ...env };
}

function lackOf(missing: readonly string[], { name }: NodeContext): StepFailure {
  const names = missing.map((secret) => `'${secret}'`).join(', ');
  const variables = missing.map((secret) => `ANNEAL_SECRET_${secret}`).join(', ');
  const advice = `set ${variables} (or the same with _FILE, a path) for its step worker`;
  const reason = `node ${name} has no secret ${names}, which the step asks for: ${advice}`;
  return { failureClass: 'data', reason, exitCode: null };
}

interface Watch {
  readonly ticket: AttemptTicket;
  readonly file: string;
  readonly logs: LogShipper;
  readonly refused: (error: unknown) => void;
}

/** Begins to send what the step says of itself; a report that fails is made good by the next. */
function watchStatus(
  { node, state }: Attempt,
  {
    http,
    logs,
    file,
    refused,
    liveness,
  }: Watch & { readonly http: Http; readonly liveness: Liveness },
): StatusWatcher {
  const written = (): void => {
    liveness.heard('status');
  };
  const sent = ({ fraction }: ReportProgress): void => {
    state.fraction = fraction ?? undefined;
  };
  const reports = { written, sent, refused };
  const watcher = new StatusWatcher({ http, logs, file, owner: node.user?.uid, reports });
  watcher.start();
  return watcher;
}

async function beginAttempt(
  { node, input }: Attempt,
  patienceMs: () => number,
): Promise<AttemptTicket> {
  const http = createHttp({ baseUrl: node.api, token: node.token, patienceMs });
  const { runId, stepKey, attempt, readyAtMs } = input;
  const body = { runId, stepKey, attempt, readyAtMs, node: node.name };
  return AttemptTicket.parse(await http.post('/api/v1/attempts', body));
}

/** The step was told to stop before its process began. */
function leave(cause: StopCause | undefined): StepOutcome {
  if (cause === 'cancelled') return { kind: 'cancelled' };
  const reason = 'it had to leave its node before it began';
  return { kind: 'failed', failure: { failureClass: 'preempted', reason, exitCode: null } };
}

/** Below the worker's process id: what a killed worker left behind can be told and removed. */
function attemptFolder(node: NodeContext, { runId, stepKey, attempt }: ExecuteStepInput): string {
  const id = createHash('sha256').update(`${runId}/${stepKey}`).digest('hex').slice(0, 8);
  const name = `${stepKey.replace(/\W+/g, '_')}-${id}-${attempt}`;
  return join(node.folder, 'attempts', String(process.pid), name);
}
