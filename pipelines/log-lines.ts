import type { LogLine } from '../schemas/pipeline-runs';
import type { AttemptKey } from '../storage/postgres/attempts';
import { insertLogLines, selectLogLines } from '../storage/postgres/log-lines';
import type { StepLogLine } from '../storage/postgres/log-lines';
import { getPipelineRun } from './pipeline-runs';
import type { PipelineRunDeps } from './pipeline-runs';

/** Keeps lines of an attempt; the same ones again change nothing. */
export async function appendLogLines(
  deps: PipelineRunDeps,
  input: { readonly attempt: AttemptKey; readonly lines: readonly LogLine[] },
): Promise<void> {
  const { attempt, lines } = input;
  if (lines.length === 0) return;
  await deps.postgres.transaction((sql) => insertLogLines(sql, { ...attempt, lines }));
}

/**
 * A page of a run's log in order of arrival; `next` goes on behind its last line, null before the
 * first. Lines of one attempt come in its own order; those of several interleave.
 */
export async function readLogLines(
  deps: PipelineRunDeps,
  input: {
    readonly projectId: string;
    readonly runId: string;
    readonly stepKey: string | undefined;
    readonly attempt: number | undefined;
    readonly after: number | undefined;
    readonly limit: number;
  },
): Promise<{ readonly lines: readonly StepLogLine[]; readonly next: string | null }> {
  const { projectId, runId, after } = input;
  await getPipelineRun(deps, { projectId, id: runId });
  const lines = await selectLogLines(deps.postgres, { ...input, after: after ?? 0 });
  const last = lines.at(-1)?.id ?? after;
  return { lines, next: last === undefined ? null : String(last) };
}
