import { isAppError } from '../errors/app-error';

/** One line of JSON on stderr. */
export function logLine(line: Readonly<Record<string, unknown>>): void {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`);
}

/** Why the process cannot go on: one plain line for a known reason, the stack for a mistake. */
export function logEnd(error: unknown): void {
  if (isAppError(error)) process.stderr.write(`error: ${error.message} ${error.row.advice}\n`);
  else logLine({ level: 'error', stack: error instanceof Error ? error.stack : String(error) });
}
