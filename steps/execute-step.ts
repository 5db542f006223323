import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAppError } from '../errors/app-error';
import { AttemptTicket } from '../schemas/attempts';
import type { ExecuteStepInput, ExecuteStepResult } from '../schemas/attempts';
import { createHttp } from '../sdk/http';
import type { Http } from '../sdk/http';
import { CheckpointWatcher } from './checkpoints';
import { fillInput, placesBelow, stepEnvironment } from './contract';
import type { Workplace } from './contract';
import { copyCode, fetchArtifact, fetchCode } from './downloads';
import { classifyEnd, oomKills } from './failures';
import type { StepFailure, StopCause } from './failures';
import { LogShipper } from './logs';
import { commitOutputs } from './outputs';
import { startProcess } from './process';

/** One node: where it is, whom it calls, where it may write. */
export interface NodeContext {
  readonly name: string;
  readonly api: string;
  readonly token: string;
  readonly folder: string;
}
/** How the activity that runs the step is told to stop, and says that it lives. */
export interface StepSignals {
  heartbeat(details: unknown): void;
  /** Resolves with the cause when the step must stop; never resolves otherwise. */
  readonly stop: Promise<Exclude<StopCause, 'timeout' | 'superseded'>>;
}
/** How a step ended on this node. */
export type StepOutcome =
  | { readonly kind: 'succeeded'; readonly result: ExecuteStepResult }
  | { readonly kind: 'failed'; readonly failure: StepFailure }
  | { readonly kind: 'cancelled' };

/** The server notices a dead worker after 10 s: four beats fit. */
const HEARTBEAT_MS = 2_000;
/** A cancelled step gets time to save, not to finish. */
const CANCEL_GRACE_MS = 30_000;
/** Preemption notices leave at most two minutes in all. */
const PREEMPT_GRACE_MS_MAX = 90_000;

/** Runs one attempt of a step from ticket to commit. Only infrastructure errors are thrown. */
export async function executeStep(
  node: NodeContext,
  input: ExecuteStepInput,
  signals: StepSignals,
): Promise<StepOutcome> {
  const beat = setInterval(() => {
    signals.heartbeat({ attempt: input.attempt });
  }, HEARTBEAT_MS);
  signals.heartbeat({ attempt: input.attempt });
  try {
    return await runAttempt(node, input, signals);
  } finally {
    clearInterval(beat);
  }
}

async function runAttempt(
  node: NodeContext,
  input: ExecuteStepInput,
  signals: StepSignals,
): Promise<StepOutcome> {
  const nodeHttp = createHttp({ baseUrl: node.api, token: node.token });
  const { runId, stepKey, attempt } = input;
  const begin = { runId, stepKey, attempt, node: node.name };
  const ticket = AttemptTicket.parse(await nodeHttp.post('/api/v1/attempts', begin));
  if (ticket.committed !== null)
    return { kind: 'succeeded', result: { outputs: ticket.committed } };
  const http = createHttp({ baseUrl: node.api, token: ticket.token });
  const root = join(node.folder, 'attempts', `${runId}-${stepKey.replace(/\W/g, '_')}-${attempt}`);
  const logs = new LogShipper(http, () => undefined);
  try {
    const place = await prepare(node, ticket, { root, logs });
    return await runProcess({ node, input, ticket, http, logs, place, signals });
  } finally {
    await logs.flush();
    await rm(root, { recursive: true, force: true });
  }
}

/** Brings code, inputs and the checkpoint; a checkpoint that cannot be read is left out, loudly. */
async function prepare(
  node: NodeContext,
  ticket: AttemptTicket,
  { root, logs }: { readonly root: string; readonly logs: LogShipper },
): Promise<Workplace> {
  await rm(root, { recursive: true, force: true });
  const places = placesBelow(root);
  await mkdir(places.outputDir, { recursive: true });
  await mkdir(places.checkpointDir, { recursive: true });
  const cwd = join(root, 'code');
  await mkdir(cwd, { recursive: true });
  if (ticket.code !== null) {
    await copyCode(await fetchCode(ticket.code, join(node.folder, 'code')), cwd);
  }
  await writeFile(places.paramsFile, JSON.stringify(ticket.params));
  const inputs: Record<string, string> = {};
  for (const [name, input] of Object.entries(ticket.inputs)) {
    if ('download' in input) {
      const folder = join(root, 'inputs', name);
      inputs[name] = await fetchArtifact(input.download, folder);
    } else
      inputs[name] = typeof input.value === 'string' ? input.value : JSON.stringify(input.value);
  }
  let resumeFrom: string | undefined;
  if (ticket.resume !== null) {
    const { name, download } = ticket.resume;
    try {
      resumeFrom = await fetchArtifact(download, join(root, 'resume', name));
      logs.add('anneal', `resumes from checkpoint ${name}`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      logs.add('anneal', `checkpoint ${name} cannot be used, starting anew: ${why}`);
    }
  }
  return { ...places, root, cwd, inputs, resumeFrom };
}

interface Running {
  readonly node: NodeContext;
  readonly input: ExecuteStepInput;
  readonly ticket: AttemptTicket;
  readonly http: Http;
  readonly logs: LogShipper;
  readonly place: Workplace;
  readonly signals: StepSignals;
}

async function runProcess(running: Running): Promise<StepOutcome> {
  const { node, input, ticket, http, logs, place, signals } = running;
  const argv = commandOf(ticket, place);
  await writeStepFile(running);
  const oomBefore = oomKills();
  const child = startProcess({
    argv,
    cwd: place.cwd,
    env: stepEnvironment(input, ticket, { api: node.api, place }),
    onLine: (stream, text) => {
      logs.add(stream, text);
    },
  });
  let cause: StopCause | undefined;
  const stop = (why: StopCause, graceMs: number): void => {
    cause ??= why;
    if (why === 'superseded') child.kill();
    else child.terminate(graceMs);
  };
  const onRefused = (error: unknown): void => {
    if (isSuperseded(error)) stop('superseded', 0);
    else logs.add('anneal', `a checkpoint was not saved: ${messageOf(error)}`);
  };
  const watcher = new CheckpointWatcher(http, place.checkpointDir, onRefused);
  watcher.start();
  const timer = setTimeout(
    () => {
      stop('timeout', input.graceSeconds * 1000);
    },
    Math.min(input.timeoutSeconds * 1000, 2 ** 31 - 1),
  ); // node's longest timer
  void signals.stop.then((why) => {
    const graceMs = why === 'cancelled' ? CANCEL_GRACE_MS : PREEMPT_GRACE_MS_MAX;
    stop(why, Math.min(graceMs, input.graceSeconds * 1000));
  });
  const end = await child.ended;
  clearTimeout(timer);
  await watcher.finish();
  if (cause === 'cancelled') return { kind: 'cancelled' };
  const command = argv[0] ?? '';
  const failure = classifyEnd(end, { command, node: node.name, cause, oomKills: oomBefore });
  if (failure !== undefined) return fail(running, failure);
  return commit(running);
}

async function commit(running: Running): Promise<StepOutcome> {
  try {
    const outputs = await commitOutputs(running.http, running.ticket.spec, running.place);
    return { kind: 'succeeded', result: { outputs } };
  } catch (error) {
    // the user's outputs are wrong; anything else is ours, and the attempt may be tried again
    const own = isAppError(error) && error.row.fault === 'user' && !isSuperseded(error);
    if (!own) throw error;
    return fail(running, { failureClass: 'data', reason: error.message, exitCode: 0 });
  }
}

async function fail({ http, logs }: Running, failure: StepFailure): Promise<StepOutcome> {
  logs.add('anneal', `failed (${failure.failureClass}): ${failure.reason}`);
  await logs.flush();
  await http.post('/api/v1/attempts/self/fail', failure).catch(() => undefined); // the workflow knows
  return { kind: 'failed', failure };
}

/** A command as it is written, or our runner for a TypeScript function. */
function commandOf(ticket: AttemptTicket, place: Workplace): string[] {
  if (ticket.spec.uses === undefined) return ticket.argv.map((text) => fillInput(text, place));
  const runner = join(__dirname, 'runner.js');
  return [
    process.execPath,
    '--enable-source-maps',
    runner,
    ticket.spec.uses,
    join(place.root, 'step.json'),
  ];
}

/** What the runner of a function step reads: settings, item and inputs under one roof. */
async function writeStepFile({ ticket, place }: Running): Promise<void> {
  const values = Object.entries(ticket.inputs).map(
    ([name, input]) => [name, 'value' in input ? input.value : place.inputs[name]] as const,
  );
  const step = {
    input: { ...ticket.with, ...Object.fromEntries(values) },
    outputs: ticket.spec.outputs ?? {},
  };
  await writeFile(join(place.root, 'step.json'), JSON.stringify(step));
}

function isSuperseded(error: unknown): boolean {
  return (
    isAppError(error) && (error.code === 'ATTEMPT_SUPERSEDED' || error.code === 'UNAUTHENTICATED')
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
