import { z } from 'zod';
import { AppError } from '../errors/app-error';
import type { LogLine } from '../schemas/pipeline-runs';
import type { AttemptKey } from '../storage/postgres/attempts';
import { insertLogLines, selectLogLines } from '../storage/postgres/log-lines';
import type { StepLogLine } from '../storage/postgres/log-lines';
import { getPipelineRun } from './pipeline-runs';
import type { PipelineRunDeps } from './pipeline-runs';

const Cursor = z.strictObject({
  at: z.string(),
  stepKey: z.string(),
  attempt: z.number(),
  seq: z.number(),
});

/** Keeps lines of an attempt, also of one that was replaced: they tell what happened. */
export async function appendLogLines(
  deps: PipelineRunDeps,
  input: { readonly attempt: AttemptKey; readonly lines: readonly LogLine[] },
): Promise<void> {
  if (input.lines.length === 0) return;
  await insertLogLines(deps.postgres, { ...input.attempt, lines: input.lines });
}

/** A page of a run's log by time; `next` goes on behind its last line, null before the first. */
export async function readLogLines(
  deps: PipelineRunDeps,
  input: {
    readonly projectId: string;
    readonly runId: string;
    readonly stepKey: string | undefined;
    readonly after: string | undefined;
    readonly limit: number;
  },
): Promise<{ readonly lines: readonly StepLogLine[]; readonly next: string | null }> {
  const { projectId, runId } = input;
  await getPipelineRun(deps, { projectId, id: runId });
  const after = input.after === undefined ? undefined : readCursor(input.after);
  const lines = await selectLogLines(deps.postgres, { ...input, after });
  const last = lines.at(-1);
  if (last === undefined) return { lines, next: input.after ?? null };
  const { at, stepKey, attempt, seq } = last;
  const cursor = JSON.stringify({ at, stepKey, attempt, seq });
  return { lines, next: Buffer.from(cursor).toString('base64url') };
}

function readCursor(text: string): z.infer<typeof Cursor> {
  try {
    return Cursor.parse(JSON.parse(Buffer.from(text, 'base64url').toString('utf8')));
  } catch {
    throw new AppError('INVALID_ARGUMENT', "'after' is not a cursor that this api gave out.");
  }
}
