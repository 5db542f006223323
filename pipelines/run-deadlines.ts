import { deadlineProblem, parseDeadline } from '../dag/deadlines';
import { requireArgument } from '../errors/app-error';

/** The time that somebody gives now as a deadline; INVALID_ARGUMENT if it is none, or has passed. */
export function deadlineFrom(text: string): string {
  const nowMs = Date.now();
  const problem = deadlineProblem(text, nowMs);
  requireArgument(problem === undefined, problem ?? '');
  return new Date(parseDeadline(text, nowMs) ?? nowMs).toISOString();
}

/** The deadline of a run that begins, and may have waited until it has passed. INVALID_ARGUMENT if it is none. */
export function deadlineOfRun(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const atMs = parseDeadline(text, Date.now());
  requireArgument(atMs !== undefined, `The deadline '${text}' is neither a time nor a duration.`);
  return new Date(atMs);
}
