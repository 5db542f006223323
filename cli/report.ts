import { CommanderError } from 'commander';
import { AppError, isAppError, type Problem } from '../errors/app-error';
import { EXIT, exitCodeOf } from './exit-codes';
import { say, type OutputFormat } from './output';

/** What is said on stderr, and the exit code. */
export interface Report {
  readonly lines: readonly string[];
  readonly exitCode: number;
}

/** Says on stderr what went wrong, why and what to do; returns the exit code. */
export function report(error: unknown, format: OutputFormat): number {
  const { lines, exitCode } = describeError(error, format);
  for (const line of lines) say(line);
  return exitCode;
}

/** An error as text for a person, or as one problem+json object. */
export function describeError(error: unknown, format: OutputFormat): Report {
  if (error instanceof CommanderError) return describeUsage(error, format);
  if (isAppError(error)) {
    const lines = format === 'json' ? [toJson(error)] : toText(error);
    return { lines, exitCode: exitCodeOf(error.code) };
  }
  // it has no code, so nobody expected it: the message is all that is known
  const message = error instanceof Error ? error.message : String(error);
  const lines =
    format === 'json' ? [toJson(new AppError('INTERNAL', message))] : [`error: ${message}`];
  return { lines, exitCode: EXIT.failed };
}

/** Wrong flags and words. Help and version come as errors too; they have been printed. */
function describeUsage(error: CommanderError, format: OutputFormat): Report {
  if (error.exitCode === 0) return { lines: [], exitCode: EXIT.ok };
  if (error.code === 'commander.help') return { lines: [], exitCode: EXIT.usage };
  const message = error.message.replace(/^error: /, '');
  if (format === 'json') return describeError(new AppError('INVALID_ARGUMENT', message), format);
  const lines = [`error: ${message}`, '  Run it with --help to see what is possible.'];
  return { lines, exitCode: EXIT.usage };
}

function toJson(error: AppError): string {
  const { code, message: detail, problems: errors } = error;
  const { title, advice, status } = error.row;
  const type = `urn:anneal:error:${code}`;
  return JSON.stringify({ type, title, status, detail, advice, code, errors });
}

/** With problems the message would only repeat the first of them: the title leads instead. */
function toText(error: AppError): string[] {
  const { code, message, problems } = error;
  const { title, advice } = error.row;
  return [
    `error: ${problems.length === 0 ? message : `${title}.`}`,
    ...problems.map((problem) => `  ${describeProblem(problem)}`),
    `  ${advice} (${code})`,
  ];
}

/** `file:line:column: path: message`, as far as it is known: editors and terminals find the place. */
function describeProblem({ file, line, column, path, message }: Problem): string {
  const position = line === undefined ? [] : [line, column ?? 1];
  const place = [...(file === undefined ? [] : [file]), ...position].join(':');
  return [place, path, message].filter((part) => part !== '').join(': ');
}

/** The same error, whose problems name the file that they are in. */
export function inFile(file: string, error: unknown): unknown {
  if (!isAppError(error) || error.problems.length === 0) return error;
  const problems = error.problems.map((problem) => ({ ...problem, file }));
  return new AppError(error.code, error.message, { problems, cause: error });
}
