import { setTimeout as sleep } from 'node:timers/promises';
import { isAppError } from '../errors/app-error';
import type { LogLine, PipelineRun, Step, Transition } from '../schemas/pipeline-runs';
import { pathOfRun, type CliContext } from './context';
import { exitCodeOfRun } from './exit-codes';
import { printJsonLine, printLine, say } from './output';

/** What of a run is wanted. */
export interface Watched {
  readonly id: string;
  readonly step?: string | undefined;
}
type StepLine = LogLine & { readonly stepKey: string; readonly attempt: number };
/** How far a run was printed; it moves page by page, so a look that fails is simply repeated. */
interface Progress {
  logCursor: string | undefined;
  lineCount: number;
  transitionId: number;
  /** Transitions that were read and wait for the lines before them. */
  readonly unsaid: Transition[];
  /** The last lines of each step's newest attempt. */
  readonly tails: Map<string, StepLine[]>;
}

/** Between two looks at a run: quick enough for a person, light for the api. */
const POLL_MS = 500;
const PAGE = 1000;
/** A restart of the server takes seconds; the run goes on meanwhile, and so does who follows it. */
const AWAY_MAX_MS = 120_000;
/** Of a failed step; the whole log is one command away. */
const TAIL_LINES = 10;
const FAILED_STEPS_MAX = 3;

/** Prints the log as far as there is one; returns the number of lines. */
export async function printLogs(context: CliContext, watched: Watched): Promise<number> {
  const progress = begin();
  await printNewLines(context, watched, progress);
  return progress.lineCount;
}

/** Prints transitions and logs until the run ends; returns the exit code of its outcome. */
export async function followRun(context: CliContext, watched: Watched): Promise<number> {
  const { format, hint } = context;
  const { id } = watched;
  const first = await getRun(context, id);
  process.prependListener('SIGINT', () => {
    say(`\nThe run goes on. Follow it again: ${hint(`run logs ${id} --follow`)}`);
    say(`Stop it: ${hint(`run cancel ${id}`)}`);
  });
  if (format === 'json') printJsonLine({ type: 'run', ...first });
  else say(`Following ${id}. Ctrl-C leaves it running.`);
  const progress = begin();
  for (;;) {
    const run = await untilBack(() => look(context, watched, progress));
    if (run.endedAt !== null) {
      if (format === 'json') printJsonLine({ type: 'run', ...run });
      else await sayEnd(context, run, progress);
      return exitCodeOfRun(run.status);
    }
    await sleep(POLL_MS);
  }
}

function begin(): Progress {
  return { logCursor: undefined, lineCount: 0, transitionId: 0, unsaid: [], tails: new Map() };
}

/**
 * Prints what is new, lines and transitions in the order of their times. The run is read first: after
 * its end nothing comes that would be missed; lines are read last, so a step's end follows its lines.
 */
async function look(
  context: CliContext,
  watched: Watched,
  progress: Progress,
): Promise<PipelineRun> {
  const run = await getRun(context, watched.id);
  await readTransitions(context, watched, progress);
  await printNewLines(context, watched, progress);
  sayTransitions(context, progress);
  return run;
}

/** Repeats while the server is away, for a limited time, and says so once. */
async function untilBack<T>(work: () => Promise<T>): Promise<T> {
  let deadlineMs: number | undefined;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isAppError(error) || error.code !== 'DEPENDENCY_UNAVAILABLE') throw error;
      if (deadlineMs !== undefined && performance.now() > deadlineMs) throw error;
      if (deadlineMs === undefined) {
        say(
          `${error.message} The run may go on; trying again for ${AWAY_MAX_MS / 60_000} minutes.`,
        );
        deadlineMs = performance.now() + AWAY_MAX_MS;
      }
      await sleep(POLL_MS);
    }
  }
}

function getRun({ http }: CliContext, id: string): Promise<PipelineRun> {
  return http.get(pathOfRun(id));
}

async function printNewLines(
  context: CliContext,
  { id, step }: Watched,
  progress: Progress,
): Promise<void> {
  for (;;) {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (step !== undefined) query.set('step', step);
    if (progress.logCursor !== undefined) query.set('after', progress.logCursor);
    const page = await context.http.get<{ lines: readonly StepLine[]; next: string | null }>(
      `${pathOfRun(id)}/logs?${query.toString()}`,
    );
    for (const line of page.lines) {
      sayTransitions(context, progress, line.at);
      if (context.format === 'json') printJsonLine({ type: 'log', ...line });
      else printLine(`${line.stepKey}#${line.attempt} | ${line.text}`);
      keepTail(progress.tails, line);
    }
    progress.lineCount += page.lines.length;
    progress.logCursor = page.next ?? progress.logCursor;
    if (page.lines.length < PAGE) return;
  }
}

function keepTail(tails: Progress['tails'], line: StepLine): void {
  const before = tails.get(line.stepKey)?.filter(({ attempt }) => attempt >= line.attempt) ?? [];
  tails.set(line.stepKey, [...before, line].slice(-TAIL_LINES));
}

async function readTransitions(
  { http }: CliContext,
  { id, step }: Watched,
  progress: Progress,
): Promise<void> {
  for (;;) {
    const path = `${pathOfRun(id)}/transitions?limit=${PAGE}&after=${progress.transitionId}`;
    const { transitions } = await http.get<{ transitions: readonly Transition[] }>(path);
    const wanted = transitions.filter(({ stepKey }) => step === undefined || stepKey === step);
    progress.unsaid.push(...wanted);
    progress.transitionId = transitions.at(-1)?.id ?? progress.transitionId;
    if (transitions.length < PAGE) return;
  }
}

/** Those that happened until a time, or all. */
function sayTransitions({ format }: CliContext, { unsaid }: Progress, until?: string): void {
  for (let next = unsaid[0]; next !== undefined; next = unsaid[0]) {
    if (until !== undefined && next.at > until) return;
    if (format === 'json') printJsonLine({ type: 'transition', ...next });
    else say(describeTransition(next));
    unsaid.shift();
  }
}

function describeTransition({ at, stepKey, attempt, state, reason }: Transition): string {
  const which = attempt > 0 ? ` attempt ${attempt}` : '';
  return `${at} ${stepKey}${which} ${state}${reason === null ? '' : ` (${reason})`}`;
}

/** How it ended; for each failed step its last lines and how to see the others. */
async function sayEnd(
  { http, hint }: CliContext,
  run: PipelineRun,
  { tails }: Progress,
): Promise<void> {
  const { id, status, reason } = run;
  say(`Run ${id} ${status}${reason === null ? '' : `: ${reason}`}`);
  if (status !== 'failed') return;
  const path = `${pathOfRun(id)}/steps?status=failed`;
  const { steps: failed } = await http.get<{ steps: readonly Step[] }>(path);
  for (const { key } of failed.slice(0, FAILED_STEPS_MAX)) {
    const tail = tails.get(key) ?? [];
    say(`Step ${key} failed${tail.length === 0 ? ' and printed nothing.' : '. Its last lines:'}`);
    for (const line of tail) say(`  ${line.text}`);
    if (tail.length > 0) say(`All it printed: ${hint(`run logs ${id} --step '${key}'`)}`);
  }
  if (failed.length > FAILED_STEPS_MAX) {
    say(`${failed.length} steps failed: ${hint(`run show ${id}`)}`);
  }
}
