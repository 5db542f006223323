import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isAppError } from '../errors/app-error';
import type { AttemptTicket, ExecuteStepInput } from '../schemas/attempts';
import type { Http } from '../sdk/http';
import type { AttemptState, NodeContext, StepOutcome, StepSignals } from './attempt';
import type { CardWatcher } from './cards';
import { CheckpointWatcher } from './checkpoints';
import { readContractFile } from './contract-file';
import { fillInput, stepEnvironment } from './contract';
import type { Workplace } from './contract';
import { reportEnvironment } from './environment';
import { PROBLEM_FILE, classifyEnd, isDiskFull, oomKills, wasKilled } from './failures';
import type { StepFailure, StopCause } from './failures';
import type { LogShipper } from './logs';
import type { Liveness } from './liveness';
import { commitOutputs } from './outputs';
import { startProcess } from './process';
import type { ProcessEnd, StepProcess } from './process';
import type { StatusWatcher } from './status';
import { giveFolder } from './step-user';

/** An attempt whose workplace is ready. */
export interface Running {
  readonly node: NodeContext;
  readonly input: ExecuteStepInput;
  readonly ticket: AttemptTicket;
  readonly http: Http;
  readonly logs: LogShipper;
  readonly status: StatusWatcher;
  readonly cards: CardWatcher;
  readonly liveness: Liveness;
  readonly secrets: Readonly<Record<string, string>>;
  readonly place: Workplace;
  readonly signals: StepSignals;
  readonly state: AttemptState;
  /** Aborted when the api says that a newer attempt has begun. */
  readonly kill: AbortSignal;
}

/** A cancelled step gets time to save, not to finish. */
const CANCEL_GRACE_MS = 30_000;
/** Preemption notices leave at most two minutes in all. */
const PREEMPT_GRACE_MS_MAX = 90_000;
/** node's longest timer, 24 days */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** Of the step's last words to stderr, which say more than an exit code. */
const LAST_WORDS_CHARS = 500;
const Problem = z.object({ isData: z.boolean(), message: z.string() });
const PROBLEM_BYTES_MAX = 64 * 1024;

/** Runs the step's process to its end and commits or reports what came of it. */
export async function runProcess(running: Running): Promise<StepOutcome> {
  const { node, input, logs, place, state, liveness } = running;
  const argv = commandOf(running);
  await writeStepFile(running);
  if (node.user !== undefined) await giveFolder(place.root, node.user);
  const oomBefore = oomKills();
  let lastWords = '';
  const child = startStep(running, argv, (words) => {
    lastWords = words;
  });
  const described = reportEnvironment(running, argv);
  const stop = stopper(running, child);
  const watcher = watchCheckpoints(running, stop);
  watcher.start();
  let silence: string | undefined;
  liveness.start((what) => {
    silence = what;
    stop('stalled');
  });
  const end = await child.ended;
  liveness.stop();
  stop.release();
  logs.endOutput();
  await Promise.all([running.status.finish(), running.cards.finish(), described]);
  const { cause } = state;
  if (cause === 'cancelled' || cause === 'superseded') await watcher.stop();
  else await watcher.finish(wasKilled(end));
  if (end.outlivedGrace && cause === 'cancelled') {
    logs.add(
      'anneal',
      `it did not end within ${graceMs(input, cause) / 1000} s of SIGTERM and was killed`,
    );
  }
  if (cause === 'cancelled') return { kind: 'cancelled' };
  const failure = failureOf(running, end, {
    command: argv[0] ?? '',
    oomKills: oomBefore,
    lastWords,
    silence,
  });
  if (failure === undefined) return commit(running);
  const problem = await readProblem(running);
  if (problem?.isData === true) {
    const { exitCode } = failure;
    return fail(running, { failureClass: 'data', reason: problem.message, exitCode });
  }
  const words = (problem?.message ?? lastWords).slice(0, LAST_WORDS_CHARS);
  const saysMore = ['crash', 'quota'].includes(failure.failureClass) && words !== '';
  return fail(running, saysMore ? { ...failure, reason: `${failure.reason}: ${words}` } : failure);
}

function startStep(
  { node, input, ticket, logs, place, liveness, secrets }: Running,
  argv: readonly string[],
  onLastWords: (words: string) => void,
): StepProcess {
  const hasUser = node.user !== undefined;
  return startProcess({
    argv,
    cwd: place.cwd,
    env: stepEnvironment(input, ticket, { api: node.api, place, hasUser, secrets }),
    user: node.user,
    mark: `ANNEAL_OUTPUT_DIR=${place.outputDir}`,
    masks: logs.masks,
    onLine: (stream, text) => {
      logs.add(stream, text);
      liveness.heard('logs');
      if (stream === 'stderr' && text.trim() !== '') onLastWords(text.slice(0, LAST_WORDS_CHARS));
    },
  });
}

function failureOf(
  { node, input, place, ticket, state: { cause } }: Running,
  end: ProcessEnd,
  seen: {
    readonly command: string;
    readonly oomKills: number;
    readonly lastWords: string;
    readonly silence: string | undefined;
  },
): StepFailure | undefined {
  const makesFiles = Object.values(ticket.spec.outputs ?? {}).some((output) => 'kind' in output);
  const isWell = end.code === 0;
  return classifyEnd(end, {
    ...seen,
    node: node.name,
    cause,
    isDiskFull: (makesFiles || !isWell) && isDiskFull(place.root, isWell ? '' : seen.lastWords),
    graceSeconds: graceMs(input, cause) / 1000,
  });
}

/** What the runner of a function step says of its failure. */
async function readProblem({
  node,
  place,
  ticket,
}: Running): Promise<z.infer<typeof Problem> | undefined> {
  if (ticket.spec.uses === undefined) return undefined;
  const file = join(place.root, PROBLEM_FILE);
  const contract = {
    file,
    owner: node.user?.uid,
    name: PROBLEM_FILE,
    example: '{}',
    bytesMax: PROBLEM_BYTES_MAX,
  };
  const read = await readContractFile(contract);
  return read !== undefined && 'value' in read ? Problem.safeParse(read.value).data : undefined;
}

function watchCheckpoints(
  { http, logs, node, place, state }: Running,
  stop: (cause: StopCause) => void,
): CheckpointWatcher {
  const saves = { folder: place.checkpointDir, owner: node.user?.uid };
  return new CheckpointWatcher(http, saves, {
    saved: (name) => {
      state.checkpoint = name;
      logs.add('anneal', `checkpoint ${name} is safe`);
    },
    noted: (text, name) => {
      logs.add('anneal', `checkpoint ${name}: ${text}`);
    },
    failed: (error, name) => {
      if (isReplaced(error)) stop('superseded');
      else logs.add('anneal', `${which(name)} was not saved: ${messageOf(error)}`);
    },
  });
}

/** How long the process gets between SIGTERM and SIGKILL. */
function graceMs({ graceSeconds }: ExecuteStepInput, cause: StopCause | undefined): number {
  const own = graceSeconds * 1000;
  if (cause === 'cancelled') return Math.min(own, CANCEL_GRACE_MS);
  return cause === 'preempted' ? Math.min(own, PREEMPT_GRACE_MS_MAX) : own;
}

/** Ends the process when the step must stop, with the grace that the cause allows. */
function stopper(
  { input, signals, state, kill }: Running,
  child: StepProcess,
): ((cause: StopCause) => void) & { release(): void } {
  const stop = (cause: StopCause): void => {
    state.cause ??= cause;
    if (cause === 'superseded') child.kill();
    else child.terminate(graceMs(input, cause));
  };
  const timer = setTimeout(
    () => {
      stop('timeout');
    },
    Math.min(input.timeoutSeconds * 1000, TIMER_MS_MAX),
  );
  const onKill = (): void => {
    stop('superseded');
  };
  kill.addEventListener('abort', onKill);
  if (kill.aborted) onKill();
  let isOver = false;
  void signals.stop.then((cause) => {
    if (!isOver) stop(cause);
  });
  const release = (): void => {
    isOver = true;
    clearTimeout(timer);
    kill.removeEventListener('abort', onKill);
  };
  return Object.assign(stop, { release });
}

async function commit(running: Running): Promise<StepOutcome> {
  try {
    const { http, logs, node, place, ticket } = running;
    const note = (text: string): void => {
      logs.add('anneal', text);
    };
    const left = { ...place, owner: node.user?.uid, note };
    const outputs = await commitOutputs(http, ticket.spec, left);
    return { kind: 'succeeded', result: { outputs } };
  } catch (error) {
    // the user's outputs are wrong; anything else is ours, and the attempt may be tried again
    const isOwn = isAppError(error) && error.row.fault === 'user' && !isReplaced(error);
    if (!isOwn) throw error;
    // asked to leave, it ended in order without having come to its end
    const hasLeft = running.state.cause === 'preempted' && error.code === 'STEP_OUTPUT_MISSING';
    const failureClass = hasLeft ? 'preempted' : 'data';
    return fail(running, { failureClass, reason: error.message, exitCode: 0 });
  }
}

/** Reports why an attempt failed, without secrets. */
export async function fail(
  { http, logs }: Pick<Running, 'http' | 'logs'>,
  found: StepFailure,
): Promise<StepOutcome> {
  const failure = { ...found, reason: logs.masks.mask(found.reason) };
  logs.add('anneal', `failed (${failure.failureClass}): ${failure.reason}`);
  await logs.finish();
  await http.post('/api/v1/attempts/self/fail', failure).catch(() => undefined); // the workflow knows
  return { kind: 'failed', failure };
}

/** A command as it is written, or our runner for a TypeScript function. */
function commandOf({ node, ticket, place }: Running): string[] {
  if (ticket.spec.uses === undefined) return ticket.argv.map((text) => fillInput(text, place));
  const stepFile = join(place.root, 'step.json');
  return [process.execPath, '--enable-source-maps', node.runner, ticket.spec.uses, stepFile];
}

/** What the runner of a function step reads: settings, item and inputs under one roof. */
async function writeStepFile({ ticket, place }: Running): Promise<void> {
  const step = {
    input: { ...ticket.with, ...place.values },
    outputs: ticket.spec.outputs ?? {},
  };
  await writeFile(join(place.root, 'step.json'), JSON.stringify(step));
}

/** True if the api takes nothing more from this attempt: a newer one has begun. */
export function isReplaced(error: unknown): boolean {
  const codes = ['ATTEMPT_SUPERSEDED', 'UNAUTHENTICATED'];
  return isAppError(error) && codes.includes(error.code);
}

function which(checkpoint: string | undefined): string {
  return checkpoint === undefined ? 'a checkpoint' : `checkpoint ${checkpoint}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
