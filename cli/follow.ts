import { setTimeout as sleep } from 'node:timers/promises';
import type { LogLine, PipelineRun, Transition } from '../schemas/pipeline-runs';
import type { CliContext } from './context';
import { EXIT } from './exit-codes';
import { printLine, say } from './output';

/** A page of log lines; `next` is the cursor to ask from. */
interface LogPage {
  readonly lines: readonly (LogLine & { readonly stepKey: string; readonly attempt: number })[];
  readonly next: string | null;
}
/** Between two looks at a run: quick enough for a person, light for the api. */
const POLL_MS = 500;
const PAGE_LINES = 1000;

/** Prints log lines until none is left; returns the cursor to go on from. */
export async function printLogs(
  context: CliContext,
  id: string,
  where: { readonly step?: string | undefined; readonly after?: string | undefined } | string = {},
): Promise<string | undefined> {
  const { step, after } = typeof where === 'string' ? { step: where, after: undefined } : where;
  let cursor = after;
  for (;;) {
    const query = new URLSearchParams({ limit: String(PAGE_LINES) });
    if (step !== undefined) query.set('step', step);
    if (cursor !== undefined) query.set('after', cursor);
    const path = `/api/v1/pipeline-runs/${encodeURIComponent(id)}/logs?${query.toString()}`;
    const page = await context.http.get<LogPage>(path);
    for (const line of page.lines) printLine(`${line.stepKey}#${line.attempt} | ${line.text}`);
    if (page.next !== null) cursor = page.next;
    if (page.lines.length < PAGE_LINES) return cursor;
  }
}

/** Prints transitions and logs until the run ends; sets the exit code by its outcome. */
export async function followRun(context: CliContext, id: string, step?: string): Promise<void> {
  say(`Following ${id}. Ctrl-C leaves it running; come back with: anneal run logs ${id} --follow`);
  let transitionsSeen = 0;
  let cursor: string | undefined;
  for (;;) {
    const run = await context.http.get<PipelineRun>(`/api/v1/pipeline-runs/${id}`);
    transitionsSeen = await sayTransitions(context, id, transitionsSeen);
    cursor = await printLogs(context, id, { step, after: cursor });
    if (run.endedAt !== null) {
      say(`Run ${id} ${run.status}${run.reason === null ? '' : `: ${run.reason}`}`);
      process.exitCode = exitCodeOfRun(run);
      return;
    }
    await sleep(POLL_MS);
  }
}

async function sayTransitions(context: CliContext, id: string, after: number): Promise<number> {
  const path = `/api/v1/pipeline-runs/${id}/transitions?after=${after}`;
  const { transitions } = await context.http.get<{ transitions: Transition[] }>(path);
  for (const t of transitions) {
    const attempt = t.attempt > 0 ? ` attempt ${t.attempt}` : '';
    say(`${t.at} ${t.stepKey}${attempt} ${t.state}${t.reason === null ? '' : ` (${t.reason})`}`);
  }
  return transitions.at(-1)?.id ?? after;
}

function exitCodeOfRun(run: PipelineRun): number {
  if (run.status === 'succeeded') return EXIT.ok;
  return run.status === 'cancelled' ? EXIT.runCancelled : EXIT.runFailed;
}
